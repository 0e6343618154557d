/**
 * Every way a request can end without an answer: one row each. Dialects choose the body; only `azure_score` wraps the
 * status, as Azure's endpoint does. `retryable` means that the same request may succeed later or elsewhere.
 */
export const FAILURES = {
  invalid_json: { status: 400, retryable: false, log: 'debug' },
  invalid_request: { status: 400, retryable: false, log: 'debug' },
  unsupported_parameter: { status: 400, retryable: false, log: 'debug' },
  /** Several models are served, and the request does not say which one it means. */
  no_model_name: { status: 400, retryable: false, log: 'debug' },
  /** A route of a task that no model here has, such as embeddings. */
  task_not_supported: { status: 400, retryable: false, log: 'debug' },
  too_many_images: { status: 400, retryable: false, log: 'debug' },
  batch_not_supported: { status: 400, retryable: false, log: 'debug' },
  /** The card refuses special tokens in texts, or their ids came. */
  special_token: { status: 400, retryable: false, log: 'debug' },
  max_tokens_exceeded: { status: 400, retryable: false, log: 'debug' },
  context_length_exceeded: { status: 400, retryable: false, log: 'debug' },
  invalid_image: { status: 400, retryable: false, log: 'debug' },
  image_refused: { status: 400, retryable: false, log: 'info' },
  image_fetch_failed: { status: 400, retryable: false, log: 'info' },
  unauthorized: { status: 401, retryable: false, log: 'info' },
  forbidden: { status: 403, retryable: false, log: 'info' },
  model_not_found: { status: 404, retryable: false, log: 'debug' },
  /** Azure's clients choose a deployment by path or header: the endpoint's own word, not the model's. */
  deployment_not_found: { status: 404, retryable: false, log: 'debug' },
  route_not_found: { status: 404, retryable: false, log: 'debug' },
  method_not_allowed: { status: 405, retryable: false, log: 'debug' },
  /** The head or the body of a request did not come in time. */
  request_timeout: { status: 408, retryable: true, log: 'info' },
  /** A request with the same idempotency key is running; the other two: it has run and its answer is gone, it was another. */
  idempotency_conflict: { status: 409, retryable: true, log: 'info' },
  idempotency_spent: { status: 409, retryable: false, log: 'info' },
  body_too_large: { status: 413, retryable: false, log: 'info' },
  image_too_large: { status: 413, retryable: false, log: 'info' },
  unsupported_media_type: { status: 415, retryable: false, log: 'debug' },
  idempotency_mismatch: { status: 422, retryable: false, log: 'info' },
  header_too_long: { status: 431, retryable: false, log: 'debug' },
  /** The engine's own 4xx; the failure carries its status and message. */
  engine_refused: { status: 400, retryable: false, log: 'info' },
  queue_full: { status: 429, retryable: true, log: 'info' },
  client_closed: { status: 499, retryable: false, log: 'info' },
  internal: { status: 500, retryable: false, log: 'error' },
  engine_failed: { status: 502, retryable: true, log: 'warn' },
  /** Two engines died of it: it is refused for a while. */
  request_quarantined: { status: 502, retryable: false, log: 'warn' },
  /** Redis no longer had it: evicted, or restarted empty. */
  body_lost: { status: 502, retryable: true, log: 'warn' },
  worker_lost: { status: 502, retryable: true, log: 'warn' },
  no_engine: { status: 503, retryable: true, log: 'warn' },
  overloaded: { status: 503, retryable: true, log: 'warn' },
  queue_unavailable: { status: 503, retryable: true, log: 'warn' },
  shutting_down: { status: 503, retryable: true, log: 'info' },
  deadline_exceeded: { status: 504, retryable: true, log: 'info' },
  engine_silent: { status: 504, retryable: true, log: 'warn' },
} as const satisfies Record<string, { status: number; retryable: boolean; log: 'debug' | 'info' | 'warn' | 'error' }>;
export type FailureCode = keyof typeof FAILURES;

/** A short value that a parameter must not have; never a prompt, never a picture. */
export type ShortValue = string | number | boolean;

export interface FailureOptions extends ErrorOptions {
  /** the field at fault as the caller wrote it, such as `messages[0].content[1]` */
  readonly param?: string;
  /** what stood there */
  readonly input?: ShortValue;
  /** fields that do not belong into the body, each to be told by itself */
  readonly extras?: readonly { readonly name: string; readonly input?: ShortValue }[];
  /** replaces the row's status; only for `engine_refused` */
  readonly status?: number;
  /** seconds for Retry-After; used on 429 and 503 only, capped at 120 */
  readonly retryAfterSeconds?: number;
  /** what a limit was asked and allows, in the unit that the message names */
  readonly asked?: number;
  readonly allowed?: number;
  /** the engine's process ended by itself while it worked on the request */
  readonly engineDied?: boolean;
  /** the engine failed before the first byte of its answer: another one may do better, and is tried once */
  readonly elsewhere?: boolean;
  /** name of the model card whose rule refused */
  readonly card?: string;
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

/** Holds across module copies and test realms, where `instanceof` does not. */
export function isFailure(error: unknown): error is Failure {
  return typeof error === 'object' && error !== null && brand in error;
}

/** What is not a Failure already becomes `internal`: its text goes to the log, never to the client. */
export function toFailure(error: unknown): Failure {
  return isFailure(error) ? error : new Failure('internal', 'internal error', { cause: error });
}
