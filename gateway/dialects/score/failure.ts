import type { Failure, FailureCode } from '../../failure.ts';
import { azureErrorBody } from '../azure/errors.ts';
import type { Rendered } from '../dialect.ts';
import { retryHeaders } from '../openai/errors.ts';

/** How `/score` reports a failure: as the endpoint does, or hidden as Azure's container hid most failures. */
export type ScoreErrors = 'endpoint' | 'strict-compat';

/** Statuses that Azure's endpoint itself answers; all others are of its container and are wrapped into 424. */
const ENDPOINT_STATUSES: ReadonlySet<number> = new Set([401, 403, 405, 408, 429, 499, 503]);
/** Failures that Azure's container, or the web server around it, reported with their own status even then. */
const NEVER_HIDDEN: ReadonlySet<FailureCode> = new Set([
  'invalid_json',
  'route_not_found',
  'body_too_large',
  'unsupported_media_type',
  'header_too_long',
]);
const JSON_TYPE = { 'content-type': 'application/json' };

/**
 * The endpoint's rules. A failure of its container becomes 424, with the container's status in a header. A late answer
 * is 408. A 429 has an empty body. An unknown key or deployment is the endpoint's own failure.
 */
export function renderScoreFailure(failure: Failure, errors: ScoreErrors): Rendered {
  const own = failure.code === 'deadline_exceeded' ? 408 : failure.status;
  const headers = { ...retryHeaders(failure), 'x-ms-error-code': failure.code };
  // An engine's refusal is the container's, whatever its status: its 429 does not describe the endpoint's queue.
  const isEndpoints = failure.code !== 'engine_refused';
  if (own === 429 && isEndpoints) {
    const reason = { 'content-type': 'text/plain', 'ms-azureml-model-error-reason': 'too_many_pending_request' };
    return { status: own, headers: { ...headers, ...reason }, body: '' };
  }
  if (own === 401 && isEndpoints)
    return { status: own, headers: { ...headers, 'content-type': 'text/plain' }, body: 'key_auth_access_denied' };
  const json = { ...headers, ...JSON_TYPE };
  // As Azure's container answers a prompt above its threshold.
  if (failure.code === 'content_filter') return { status: 200, headers: json, body: '{}' };
  const body = JSON.stringify(azureErrorBody(failure, own));
  if ((ENDPOINT_STATUSES.has(own) && isEndpoints) || failure.code === 'deployment_not_found')
    return { status: own, headers: json, body };
  if (errors === 'strict-compat' && !NEVER_HIDDEN.has(failure.code)) return { status: 200, headers: json, body: '{}' };
  const wrapped = { 'ms-azureml-model-error-statuscode': String(own), 'ms-azureml-model-error-reason': 'model_error' };
  return { status: 424, headers: { ...json, ...wrapped }, body };
}
