import type { Failure, FailureCode } from '../../failure.ts';

/**
 * The `error` object that OpenAI's clients read. A limit adds what was asked, what is allowed, and the card that says so.
 * Types as OpenAI's API uses them; an unknown model is its `invalid_request_error` with status 404.
 */
export function errorObject(failure: Failure): Record<string, string | number | null> {
  const { param, asked, allowed, card } = failure.options;
  return {
    message: failure.message,
    type: errorType(failure.status),
    param: param ?? null,
    code: failure.code,
    ...(asked === undefined ? {} : { asked }),
    ...(allowed === undefined ? {} : { allowed }),
    ...(card === undefined ? {} : { card }),
  };
}

function errorType(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/**
 * Failures of requests that an engine may have worked on, or that it refused: a client that repeats them by itself
 * multiplies the work.
 */
const AFTER_ACCEPTANCE: ReadonlySet<FailureCode> = new Set([
  'worker_lost',
  'request_quarantined',
  'engine_failed',
  'engine_refused',
  'context_length_exceeded',
  'engine_silent',
  'deadline_exceeded',
  'idempotency_spent',
]);
const LONGEST_RETRY_AFTER_SECONDS = 120;

/**
 * `retry-after` (whole seconds, 1 to 120) on 429 and 503 alone: azure-core repeats whatever carries it.
 * `x-should-retry` is what OpenAI's SDKs obey above their own rules.
 */
export function retryHeaders(failure: Failure): Record<string, string> {
  if (AFTER_ACCEPTANCE.has(failure.code)) return { 'x-should-retry': 'false' };
  if (failure.status === 429 || failure.status === 503) {
    const seconds = Math.ceil(failure.options.retryAfterSeconds ?? 1);
    return { 'retry-after': String(Math.min(Math.max(seconds, 1), LONGEST_RETRY_AFTER_SECONDS)) };
  }
  // OpenAI's SDKs would repeat every 409.
  if (failure.code === 'idempotency_conflict') return { 'x-should-retry': 'true' };
  return {};
}
