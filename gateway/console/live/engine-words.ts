import type { LiveEngine } from '#contract/console';

/** What a state means, and how serious it is. */
export type Tone = 'good' | 'busy' | 'bad' | 'idle';
export const STATE_TONES: Readonly<Record<LiveEngine['state'], Tone>> = {
  ready: 'good',
  starting: 'busy',
  warming: 'busy',
  draining: 'busy',
  suspect: 'bad',
  backoff: 'bad',
  stopped: 'idle',
};

/** What operators read in place of a code of admission. */
export const REFUSAL_WORDS: Readonly<Record<string, string>> = {
  rejected_queue_jobs: 'the queue is full: requests',
  rejected_queue_bytes: 'the queue is full: bytes',
  rejected_key_jobs: 'the key’s cap of waiting requests',
  rejected_key_bytes: 'the key’s cap of waiting bytes',
  rejected_late: 'would wait longer than its deadline',
  limited_requests_per_minute: 'the key’s requests a minute',
  limited_tokens_per_minute: 'the key’s tokens a minute',
  limited_tokens_per_day: 'the key’s tokens a day',
  rejected_reply_lag: 'this gateway reads its answers too late',
  rejected_unavailable: 'Redis did not take it',
  evicted_no_engine: 'no engine was ready in time',
};

/** Engines by pool, both in the order of their names. */
export function byPool(engines: readonly LiveEngine[]): [string, LiveEngine[]][] {
  const pools = new Map<string, LiveEngine[]>();
  const name = ({ node, id }: LiveEngine): string => `${node} ${id}`;
  for (const engine of [...engines].sort((a, b) => name(a).localeCompare(name(b))))
    pools.set(engine.pool, [...(pools.get(engine.pool) ?? []), engine]);
  return [...pools].sort(([a], [b]) => a.localeCompare(b));
}
