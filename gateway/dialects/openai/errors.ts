import { rowOf, type Failure } from '../../failure.ts';

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

const LONGEST_RETRY_AFTER_SECONDS = 120;

/**
 * `retry-after` (whole seconds, 1 to 120) where the row gives a time, on 429 and 503 alone: azure-core repeats whatever
 * carries it. `x-should-retry` is what OpenAI's SDKs obey above their own rules, by which they repeat 408, 409 and 5xx.
 */
export function retryHeaders({ code, options }: Failure): Record<string, string> {
  const { retry } = rowOf(code);
  if (typeof retry !== 'number') return { 'x-should-retry': String(retry === 'as_sent') };
  const seconds = Math.ceil(options.retryAfterSeconds ?? retry);
  return { 'retry-after': String(Math.min(Math.max(seconds, 1), LONGEST_RETRY_AFTER_SECONDS)) };
}
