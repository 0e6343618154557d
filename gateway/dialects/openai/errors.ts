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

/** OpenAI's clients obey no longer time: openai-node 7.59 and openai-python 1.109 wait 0.5 s instead, openai-python 3.57 does not try again. */
const LONGEST_RETRY_AFTER_MS = 60_000;

/**
 * `retry-after-ms`, and `retry-after` in whole seconds above it, if the failure has a time. Only on 429 and 503, because
 * azure-core repeats every answer that has it. `x-should-retry` overrides the rules of OpenAI's SDKs, which repeat 408,
 * 409 and 5xx.
 */
export function retryHeaders({ code, options }: Failure): Record<string, string> {
  const refusal = options.refusal === undefined ? {} : { 'x-penstock-refusal': options.refusal };
  const { retry } = rowOf(code);
  if (typeof retry !== 'number') return { 'x-should-retry': String(retry === 'as_sent'), ...refusal };
  if (options.retryAfterMs === 'never') return { 'x-should-retry': 'false', ...refusal };
  const ms = Math.min(Math.max(Math.ceil(options.retryAfterMs ?? retry * 1_000), 1), LONGEST_RETRY_AFTER_MS);
  return { 'retry-after': String(Math.ceil(ms / 1_000)), 'retry-after-ms': String(ms), ...refusal };
}
