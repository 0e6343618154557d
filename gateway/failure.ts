import type { FilterResults } from './request/content-filter.ts';

/** What happens to a request that failed this way. */
interface FailureRow {
  readonly status: number;
  /**
   * Whether the same request may succeed later. `never`: no. `as_sent`: immediately. A number: after so many seconds.
   * `by_caller`: only if the caller decides it, because engines have worked on it for long.
   */
  readonly retry: 'never' | 'as_sent' | 'by_caller' | number;
  readonly log: 'debug' | 'info' | 'warn' | 'error';
  /** how often the gateway repeats it while its client has no part of the answer, or only the rest is missing */
  readonly repeats?: number;
}

/**
 * Every way a request can end without an answer: one row each. Dialects choose the body; only `azure_score` wraps the
 * status, as Azure's endpoint does.
 */
export const FAILURES = {
  invalid_json: { status: 400, retry: 'never', log: 'debug' },
  invalid_request: { status: 400, retry: 'never', log: 'debug' },
  unsupported_parameter: { status: 400, retry: 'never', log: 'debug' },
  /** Several models are served, and the request names none. */
  no_model_name: { status: 400, retry: 'never', log: 'debug' },
  /** A route of a task that no model here has, such as embeddings. */
  task_not_supported: { status: 400, retry: 'never', log: 'debug' },
  too_many_images: { status: 400, retry: 'never', log: 'debug' },
  batch_not_supported: { status: 400, retry: 'never', log: 'debug' },
  /** The card refuses special tokens in texts, or their ids were sent. */
  special_token: { status: 400, retry: 'never', log: 'debug' },
  max_tokens_exceeded: { status: 400, retry: 'never', log: 'debug' },
  context_length_exceeded: { status: 400, retry: 'never', log: 'debug' },
  invalid_image: { status: 400, retry: 'never', log: 'debug' },
  image_refused: { status: 400, retry: 'never', log: 'info' },
  /** The content filter blocked the prompt. */
  content_filter: { status: 400, retry: 'never', log: 'info' },
  image_fetch_failed: { status: 400, retry: 'never', log: 'info' },
  unauthorized: { status: 401, retry: 'never', log: 'info' },
  forbidden: { status: 403, retry: 'never', log: 'info' },
  model_not_found: { status: 404, retry: 'never', log: 'debug' },
  /** Azure's clients choose a deployment by path or header; the code is the endpoint's own, not the model's. */
  deployment_not_found: { status: 404, retry: 'never', log: 'debug' },
  /** No answer with this id is kept for this key. */
  answer_not_found: { status: 404, retry: 'never', log: 'debug' },
  /** The same, named as the one before a request; code and status are OpenAI's. */
  previous_response_not_found: { status: 400, retry: 'never', log: 'debug' },
  route_not_found: { status: 404, retry: 'never', log: 'debug' },
  method_not_allowed: { status: 405, retry: 'never', log: 'debug' },
  /** The head or the body of a request did not arrive in time. */
  request_timeout: { status: 408, retry: 'as_sent', log: 'info' },
  /** A request with the same idempotency key runs for very long. The next two: its answer is lost; it was another request. */
  idempotency_conflict: { status: 409, retry: 'as_sent', log: 'info' },
  idempotency_spent: { status: 409, retry: 'never', log: 'info' },
  body_too_large: { status: 413, retry: 'never', log: 'info' },
  image_too_large: { status: 413, retry: 'never', log: 'info' },
  unsupported_media_type: { status: 415, retry: 'never', log: 'debug' },
  idempotency_mismatch: { status: 422, retry: 'never', log: 'info' },
  header_too_long: { status: 431, retry: 'never', log: 'debug' },
  /** The engine's own 4xx; the failure carries its status and message. */
  engine_refused: { status: 400, retry: 'never', log: 'info' },
  /** A limit of the key is used up until its window ends. */
  rate_limit_exceeded: { status: 429, retry: 60, log: 'info' },
  queue_full: { status: 429, retry: 2, log: 'info' },
  client_closed: { status: 499, retry: 'never', log: 'info' },
  internal: { status: 500, retry: 'never', log: 'error' },
  engine_failed: { status: 502, retry: 'by_caller', log: 'warn' },
  /** Two engines died while they ran it: it is refused for 10 minutes. */
  request_quarantined: { status: 502, retry: 'never', log: 'warn' },
  /** It is longer than the answers that outlive their connection may be. */
  answer_too_long: { status: 502, retry: 'never', log: 'warn' },
  /** Redis had lost it: it was evicted, or Redis restarted empty. */
  body_lost: { status: 502, retry: 'as_sent', log: 'warn', repeats: 2 },
  worker_lost: { status: 502, retry: 'by_caller', log: 'warn', repeats: 2 },
  no_engine: { status: 503, retry: 10, log: 'warn' },
  /** The keys of a token's issuer were never read, or too long ago. */
  issuer_unavailable: { status: 503, retry: 5, log: 'warn' },
  overloaded: { status: 503, retry: 2, log: 'warn' },
  /** The content filter gave no verdict, and lets nothing pass without one. */
  safety_unavailable: { status: 503, retry: 2, log: 'warn' },
  queue_unavailable: { status: 503, retry: 2, log: 'warn' },
  shutting_down: { status: 503, retry: 1, log: 'info' },
  deadline_exceeded: { status: 504, retry: 'by_caller', log: 'info' },
  engine_silent: { status: 504, retry: 'by_caller', log: 'warn', repeats: 2 },
} as const satisfies Record<string, FailureRow>;
export type FailureCode = keyof typeof FAILURES;

/** Whether the text is the code of a failure. */
export function isFailureCode(text: string): text is FailureCode {
  return Object.hasOwn(FAILURES, text);
}

/** The row of a failure, with all columns. */
export function rowOf(code: FailureCode): FailureRow {
  return FAILURES[code];
}

/** A short value that a parameter must not have; never a prompt, never a picture. */
export type ShortValue = string | number | boolean;

export interface FailureOptions extends ErrorOptions {
  /** the field at fault in the caller's body, such as `messages[0].content[1]` */
  readonly param?: string;
  /** the value that was sent */
  readonly input?: ShortValue;
  /** fields that the body must not have, each reported separately */
  readonly extras?: readonly { readonly name: string; readonly input?: ShortValue }[];
  /** replaces the row's status; only for `engine_refused` */
  readonly status?: number;
  /** when to try again, in milliseconds, if more is known than the row has; `never`: no try of the next minute can succeed */
  readonly retryAfterMs?: number | 'never';
  /** what refused it and what the caller may expect, for programs: value of `x-penstock-refusal` */
  readonly refusal?: string;
  /** the requested and the allowed number of a limit, in the unit that the message names */
  readonly asked?: number;
  readonly allowed?: number;
  /** the engine's process ended by itself while it ran the request */
  readonly engineDied?: boolean;
  /** the engine failed or refused it, and another one may succeed: one other is tried */
  readonly elsewhere?: boolean;
  /** name of the model card whose rule refused */
  readonly card?: string;
  /** what the content filter found, by category */
  readonly filterResults?: FilterResults;
}

const brand = Symbol.for('penstock.failure');

/** `message` reaches the client; `cause` reaches the log only. */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly status: number;
  readonly options: Omit<FailureOptions, 'cause'>;
  constructor(code: FailureCode, message: string, options: FailureOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'Failure';
    this.code = code;
    this.status = options.status ?? FAILURES[code].status;
    this.options = options;
    Object.defineProperty(this, brand, { value: true });
  }
}

/** Works across module copies and test realms, where `instanceof` fails. */
export function isFailure(error: unknown): error is Failure {
  return typeof error === 'object' && error !== null && brand in error;
}

/** Any error that is no Failure becomes `internal`: its text is logged and never sent to the client. */
export function toFailure(error: unknown): Failure {
  return isFailure(error) ? error : new Failure('internal', 'internal error', { cause: error });
}
