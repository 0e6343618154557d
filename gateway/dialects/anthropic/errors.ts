import type { Failure } from '../../failure.ts';
import { errorObject } from '../openai/errors.ts';

/**
 * Error types by status, as in Anthropic's API. That API uses 529 for overload. Here 503 stays, which its SDKs repeat
 * as well, and which balancers know. Source: Anthropic's page on errors; the classes of `@anthropic-ai/sdk`.
 */
const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** @param requestId the id for support, if the answer has not begun */
export function errorBody(failure: Failure, requestId?: string): object {
  const { status } = failure;
  const type = TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
  const error = { ...errorObject(failure), type };
  return { type: 'error', error, ...(requestId === undefined ? {} : { request_id: requestId }) };
}
