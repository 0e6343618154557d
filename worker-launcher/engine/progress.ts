import type { PageCounters } from './pace.ts';

/** Whether an engine moves, read from its own `/metrics`: `/health` stays 200 while the engine behind it stands still. */

export interface WorkSample {
  /** requests that the engine knows of, running and waiting */
  readonly requests: number;
  /** engine steps that brought a token */
  readonly steps: number;
  /** part of the KV cache in use, 0 to 1: moves with every step of a long prefill, which brings no token */
  readonly cacheUsage: number;
}

/**
 * Reads the four lines that matter of a page of some 70 kB; sums over the parts of a data-parallel engine.
 * Source: vLLM 0.24 to 0.33. A step without output (a part of a long prompt) is not counted in `iteration_tokens_total`,
 * but the scheduler's gauges are published with it.
 * @returns undefined when they are not there: vLLM runs with `--disable-log-stats`, or this is not vLLM
 */
export function readWork(page: string): WorkSample | undefined {
  const running = sumOf(page, 'vllm:num_requests_running');
  const waiting = sumOf(page, 'vllm:num_requests_waiting');
  const steps = sumOf(page, 'vllm:iteration_tokens_total_count');
  if (running === undefined || waiting === undefined || steps === undefined) return undefined;
  return { requests: running + waiting, steps, cacheUsage: sumOf(page, 'vllm:kv_cache_usage_perc') ?? 0 };
}

/**
 * The counters that tell an engine's pace.
 * @returns undefined where the page lacks them
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

export type Look = { readonly kind: 'progress' | 'idle' } | { readonly kind: 'stalled'; readonly forMs: number };

/** Compares one sample with the one before it. One clock for one life of an engine process. */
export class ProgressClock {
  #last: WorkSample | undefined;
  /** when it was last seen moving, or without work */
  #since = 0;

  /**
   * @param ours requests that we sent and that are not answered: a frozen engine core does not publish new ones
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

/** Sum of a metric's samples over all labels; undefined when the page has none. */
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
