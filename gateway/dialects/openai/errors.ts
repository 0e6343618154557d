import { rowOf, type Failure } from '../../failure.ts';

/**
 * The `error` object that OpenAI's clients read. The error of a limit adds the requested number, the allowed one, and
 * the card that has the limit. Types are those of OpenAI's API; an unknown model is its `invalid_request_error` with
 * status 404.
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
 * `retry-after` (whole seconds, 1 to 120) if the failure has a time. Only on 429 and 503, because azure-core repeats
 * every answer that has it. `x-should-retry` overrides the rules of OpenAI's SDKs, which repeat 408, 409 and 5xx.
 */
export function retryHeaders({ code, options }: Failure): Record<string, string> {
  const { retry } = rowOf(code);
  if (typeof retry !== 'number') return { 'x-should-retry': String(retry === 'as_sent') };
  const seconds = Math.ceil(options.retryAfterSeconds ?? retry);
  return { 'retry-after': String(Math.min(Math.max(seconds, 1), LONGEST_RETRY_AFTER_SECONDS)) };
}
