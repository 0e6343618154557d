import type { IncomingHttpHeaders } from 'node:http';
import { Failure } from '../failure.ts';

const OWN = 'x-penstock-deadline-ms';

/** What the headers of a request say about its client's patience. */
export interface Patience {
  /** from the first byte of the request to the end of the answer, in milliseconds */
  readonly deadlineMs: number;
  /** longest silence of a stream that its client accepts, in milliseconds; undefined: it did not say */
  readonly silenceMs: number | undefined;
  /** the client says that this is not the first try of its call */
  readonly isRetry: boolean;
  /** it wants to know each second how its stream waits */
  readonly wantsProgress: boolean;
}

/**
 * Reads the time that the caller gives a request, which the operator's limit caps. Without our own header, the timeouts that
 * OpenAI's SDKs send count for complete answers. They do not limit streams, because Python sends its read timeout always,
 * and there it is the longest silence. Seen on the wire: openai-python sends `x-stainless-read-timeout` in seconds.
 * openai-node sends `x-stainless-timeout` if a call sets its own timeout, cut to whole seconds, so one second is added.
 * @param limitMs the operator's limit
 * @throws Failure `invalid_request` for a deadline that is no number of milliseconds
 */
export function patienceOf(headers: IncomingHttpHeaders, stream: boolean, limitMs: number): Patience {
  const readMs = secondsIn(headers['x-stainless-read-timeout']);
  const wholeMs = secondsIn(headers['x-stainless-timeout']);
  const said = [ownDeadline(headers[OWN])];
  if (!stream) said.push(readMs, wholeMs === undefined ? undefined : wholeMs + 1_000);
  return {
    deadlineMs: Math.min(limitMs, ...said.filter((ms) => ms !== undefined)),
    silenceMs: stream ? readMs : undefined,
    isRetry: Number(headers['x-stainless-retry-count']) > 0,
    wantsProgress: headers['x-penstock-progress'] === '1',
  };
}

function ownDeadline(said: string | string[] | undefined): number | undefined {
  if (said === undefined) return undefined;
  const ms = typeof said === 'string' && /^\d{1,15}$/.test(said) ? Number(said) : 0;
  if (ms > 0) return ms;
  throw new Failure('invalid_request', `${OWN} must be a whole number of milliseconds above 0`, { param: OWN });
}

/** @returns milliseconds; undefined for values that no SDK sends */
function secondsIn(said: string | string[] | undefined): number | undefined {
  const seconds = typeof said === 'string' && /^\d{1,9}(\.\d{1,9})?$/.test(said) ? Number(said) : NaN;
  return Number.isNaN(seconds) ? undefined : Math.ceil(seconds * 1_000);
}
