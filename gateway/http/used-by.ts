import type { Phases } from '../answer/notes.ts';
import { NOBODY, type Caller } from '../keys/caller.ts';
import type { Metrics } from '../metrics.ts';
import type { UsageBook } from '../usage/usage-book.ts';

/** Where requests are counted that no dispatcher took. */
export type UsedBy = Pick<UsageBook, 'refused' | 'leftQueue'>;

/** Failures of a request that has its place in the queue. */
const WHILE_IT_WAITED: readonly unknown[] = ['deadline_exceeded', 'no_engine'];

/** A request that ended. */
interface Ended {
  readonly caller: Caller;
  readonly model: string;
  readonly phases: Phases;
  /** of its log line */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Counts a request that ended, for its caller's key. A caller without a valid key has no usage. */
export function noteUse(
  { usage, metrics }: { readonly usage: UsedBy; readonly metrics: Metrics },
  { caller, model, phases, fields }: Ended,
): void {
  if (caller === NOBODY) return;
  const { requestId, enqueuedAt, claimedAt } = phases;
  const labels = { key: metrics.labelOf(caller.id), gen_ai_request_model: model };
  const failure = fields['failure'];
  // A dispatcher books what it took.
  if (claimedAt !== undefined) metrics.byKey?.requests.inc(labels);
  else if (failure !== undefined && failure !== 'client_closed') {
    metrics.byKey?.refusals.inc(labels);
    if (enqueuedAt !== undefined && WHILE_IT_WAITED.includes(failure))
      usage.leftQueue({ requestId, model }, caller.id, 'failed');
    else usage.refused(model, caller.id);
  } else if (enqueuedAt !== undefined) usage.leftQueue({ requestId, model }, caller.id, 'left');
}
