import type { PageCounters } from './pace.ts';

/** Detects from `/metrics` whether an engine makes progress: `/health` stays 200 while the engine core hangs. */

export interface WorkSample {
  /** requests that the engine reports, running and waiting */
  readonly requests: number;
  /** engine steps that generated a token */
  readonly steps: number;
  /** share of the KV cache in use, 0 to 1: changes with every step of a long prefill, which generates no token */
  readonly cacheUsage: number;
}

/**
 * Reads four metrics from a page of some 70 kB; sums over the ranks of a data-parallel engine.
 * Source: vLLM 0.24 to 0.33. `iteration_tokens_total` does not count a step without output (a part of a long prompt),
 * but such a step updates the scheduler's gauges.
 * @returns undefined if they are missing: vLLM runs with `--disable-log-stats`, or this is not vLLM
 */
export function readWork(page: string): WorkSample | undefined {
  const running = sumOf(page, 'vllm:num_requests_running');
  const waiting = sumOf(page, 'vllm:num_requests_waiting');
  const steps = sumOf(page, 'vllm:iteration_tokens_total_count');
  if (running === undefined || waiting === undefined || steps === undefined) return undefined;
  return { requests: running + waiting, steps, cacheUsage: sumOf(page, 'vllm:kv_cache_usage_perc') ?? 0 };
}

/**
 * The counters from which an engine's pace is computed.
 * @returns undefined if the page lacks them
 */
export function readPace(page: string): PageCounters | undefined {
  const [gapSeconds, gaps, waitSeconds, waits] = [
    sumOf(page, 'vllm:inter_token_latency_seconds_sum'),
    sumOf(page, 'vllm:inter_token_latency_seconds_count'),
    sumOf(page, 'vllm:time_to_first_token_seconds_sum'),
    sumOf(page, 'vllm:time_to_first_token_seconds_count'),
  ];
  if (gapSeconds === undefined || gaps === undefined || waitSeconds === undefined || waits === undefined)
    return undefined;
  return { gapSeconds, gaps, waitSeconds, waits };
}

/**
 * Whether an engine produces tokens while other requests wait in it for memory: then a new request, and our own short
 * generation, may wait for long.
 * @param before its page when the short generation was sent
 * @param after its page now
 * @returns true as well if a page or its counters are missing
 */
export function mayBeFull(before: string | undefined, after: string | undefined): boolean {
  const [was, is] = [before, after].map((page) => (page === undefined ? undefined : readPace(page)));
  if (after === undefined || was === undefined || is === undefined) return true;
  const running = sumOf(after, 'vllm:num_requests_running') ?? 0;
  const waiting = sumOf(after, 'vllm:num_requests_waiting') ?? 0;
  return running > 0 && waiting > 0 && is.gaps > was.gaps;
}

export type Look = { readonly kind: 'progress' | 'idle' } | { readonly kind: 'stalled'; readonly forMs: number };

/** Compares each sample with the one before it. Use one clock per engine process. */
export class ProgressClock {
  #last: WorkSample | undefined;
  /** when it last made progress or had no work */
  #since = 0;

  /**
   * @param ours our unanswered requests: a frozen engine core does not report new ones
   * @param now monotonic milliseconds
   */
  look(sample: WorkSample, ours: number, now: number): Look {
    const last = this.#last;
    this.#last = sample;
    const moved = last !== undefined && (sample.steps !== last.steps || sample.cacheUsage !== last.cacheUsage);
    const busy = sample.requests > 0 || ours > 0;
    if (last !== undefined && busy && !moved) return { kind: 'stalled', forMs: now - this.#since };
    this.#since = now;
    return { kind: moved ? 'progress' : 'idle' };
  }
}

/** Sum of a metric's samples over all labels; undefined if the page has none. */
function sumOf(page: string, name: string): number | undefined {
  let sum: number | undefined;
  for (let at = page.indexOf(name); at >= 0; at = page.indexOf(name, at + name.length)) {
    const after = page[at + name.length];
    if ((at > 0 && page[at - 1] !== '\n') || (after !== '{' && after !== ' ')) continue;
    const end = page.indexOf('\n', at);
    const line = page.slice(at, end < 0 ? undefined : end);
    sum = (sum ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}
