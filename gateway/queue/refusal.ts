import { Failure } from '../failure.ts';
import type { AdmissionOutcome } from './outcome.ts';
import type { Place, Share, Verdict } from './reservations.ts';

/** Without a booking: so long, and up to a fifth less, in ms. Nothing that drains in a minute is left to book. */
const LONGEST_MS = 60_000;

interface Row {
  readonly outcome: AdmissionOutcome;
  /** first part of `x-penstock-refusal` */
  readonly reason: string;
  readonly says: (keyId: string, share: Share) => string;
}

const ROWS: Readonly<Record<Exclude<Verdict, 'ok'>, Row>> = {
  jobs: { outcome: 'rejected_queue_jobs', reason: 'queue_full', says: () => 'too many requests are waiting' },
  bytes: {
    outcome: 'rejected_queue_bytes',
    reason: 'queue_full',
    says: () => 'too many bytes of requests are waiting',
  },
  key_jobs: {
    outcome: 'rejected_key_jobs',
    reason: 'key_full',
    says: (keyId, { caps }) =>
      `the key ${keyId} may have at most ${caps.waiting_jobs} requests waiting for a model (its cap waiting_jobs)`,
  },
  key_bytes: {
    outcome: 'rejected_key_bytes',
    reason: 'key_full',
    says: (keyId, { caps }) =>
      `the key ${keyId} may have at most ${caps.waiting_bytes} bytes waiting for a model (its cap waiting_bytes)`,
  },
  late: {
    outcome: 'rejected_late',
    reason: 'deadline',
    says: () => 'the wait would be longer than the time that this request has',
  },
};

/** The refusal of a request that got no reservation: what refused it, and when its client should try again. */
export function refusal(
  verdict: Exclude<Verdict, 'ok'>,
  { bookedMs, waitMs }: Place,
  keyId: string,
  share: Share,
): { readonly outcome: AdmissionOutcome; readonly failure: Failure } {
  const { outcome, reason, says } = ROWS[verdict];
  const said = says(keyId, share);
  if (bookedMs !== undefined) {
    const message = `${said}; try again in ${seconds(bookedMs)}: a place is booked for this request then`;
    const options = { retryAfterMs: bookedMs, refusal: `${reason}; booked` };
    return { outcome, failure: new Failure('queue_full', message, options) };
  }
  // Nothing is measured yet: the usual time of the failure.
  if (waitMs === undefined)
    return { outcome, failure: new Failure('queue_full', `${said}; try again`, { refusal: reason }) };
  const retryAfterMs = LONGEST_MS * (1 - Math.random() / 5);
  const message = `${said}, and all places of the next minute are booked; try again in ${seconds(retryAfterMs)}`;
  return { outcome, failure: new Failure('queue_full', message, { retryAfterMs, refusal: reason }) };
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
