import { isRecord, numberIn, parseJson, textIn } from './read-json.ts';

/** Why there is no answer, or only a part of one. */
export interface Refusal {
  /** what to read first */
  readonly message: string;
  /** 0: no answer came */
  readonly status: number;
  readonly code: string | undefined;
  readonly param: string | undefined;
  readonly asked: number | undefined;
  readonly allowed: number | undefined;
  readonly card: string | undefined;
  /** more exact than the code, from `x-penstock-refusal`, such as `queue_full; booked` */
  readonly reason: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly requestId: string | undefined;
}

const NOTHING: Refusal = {
  message: '',
  status: 0,
  code: undefined,
  param: undefined,
  asked: undefined,
  allowed: undefined,
  card: undefined,
  reason: undefined,
  retryAfterSeconds: undefined,
  requestId: undefined,
};

/** Reads an `error` object in OpenAI's form, of a body or of an event. */
export function refusalOf(error: unknown, status: number): Refusal {
  if (!isRecord(error)) return { ...NOTHING, status, message: `the gateway answered with status ${status}` };
  return {
    ...NOTHING,
    status,
    message: textIn(error, 'message') ?? `the gateway answered with status ${status}`,
    code: textIn(error, 'code'),
    param: textIn(error, 'param'),
    asked: numberIn(error, 'asked'),
    allowed: numberIn(error, 'allowed'),
    card: textIn(error, 'card'),
  };
}

/** Reads a response that is no success. */
export function refusalIn(status: number, headers: Headers, body: string): Refusal {
  const parsed = parseJson(body);
  const after = Number(headers.get('retry-after') ?? Number.NaN);
  return {
    ...refusalOf(isRecord(parsed) ? parsed['error'] : undefined, status),
    reason: headers.get('x-penstock-refusal') ?? undefined,
    retryAfterSeconds: Number.isFinite(after) ? after : undefined,
    requestId: headers.get('x-request-id') ?? undefined,
  };
}

/** The gateway could not be reached, or sent what this page cannot read. */
export function localRefusal(message: string): Refusal {
  return { ...NOTHING, message };
}
