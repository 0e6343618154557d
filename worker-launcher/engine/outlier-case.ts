import { CANARY_TOKENS, type ProbeResult } from './probe.ts';
import { readPace } from './progress.ts';
import type { EngineEvent, EngineState, OutlierReason } from './state.ts';

/** Why a running engine is out of dispatch: how it does worse than its siblings, with figures. */
export interface Outlier {
  readonly reason: OutlierReason;
  readonly figures: Readonly<Record<string, number>>;
}

/** In words, for its last failure. */
export function describeOutlier({ reason, figures }: Outlier): string {
  const values = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  return `${reason}: ${values.join(', ')}`;
}

/** What is known of the engine when its probe returns. */
export interface AtProbe {
  readonly state: EngineState;
  /** requests of ours on it */
  readonly inFlight: number;
  /** its page of metrics, a few seconds old */
  readonly page: string | undefined;
  /** whether a generation of this duration, on an otherwise idle engine, is far slower than its siblings' */
  readonly isSlow: (tookMs: number) => boolean;
}

/** Judges the probes of one engine process that does worse than its siblings. */
export class OutlierCase {
  /** tokens that it had generated at the last look */
  #gaps = -1;

  /** @returns the event that follows from the probe; undefined: none */
  read({ event, tookMs }: ProbeResult, { state, inFlight, page, isSlow }: AtProbe): EngineEvent | undefined {
    const outlier = state.kind === 'suspect' ? state.outlier : undefined;
    // While it works on other requests, it may be late with ours.
    if (outlier === 'slow' && event === 'canary_ok' && tookMs !== undefined && isSlow(tookMs))
      return inFlight === 0 ? 'canary_slow' : undefined;
    // It cannot start another answer because its memory is full, but it generates tokens for the running ones.
    if (outlier === 'mute' && event === 'canary_failed' && this.#givesTokens(page)) return undefined;
    return event;
  }

  #givesTokens(page: string | undefined): boolean {
    const gaps = page === undefined ? this.#gaps : (readPace(page)?.gaps ?? this.#gaps);
    const before = this.#gaps;
    this.#gaps = gaps;
    // Tokens of the probe itself don't count.
    return gaps > before + CANARY_TOKENS;
  }
}
