import { CANARY_TOKENS, type ProbeResult } from './probe.ts';
import { readPace } from './progress.ts';
import type { EngineEvent, EngineState, OutlierReason } from './state.ts';

/** Why an engine is out of dispatch although it lives: how it does worse than its siblings, and by which figures. */
export interface Outlier {
  readonly reason: OutlierReason;
  readonly figures: Readonly<Record<string, number>>;
}

/** In words, for its last failure. */
export function describeOutlier({ reason, figures }: Outlier): string {
  const told = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  return `${reason} where its siblings are not: ${told.join(', ')}`;
}

/** What is known of the engine when a probe of it comes back. */
export interface AtProbe {
  readonly state: EngineState;
  /** requests of ours on it */
  readonly inFlight: number;
  /** its page of metrics, some seconds old */
  readonly page: string | undefined;
  /** whether a generation that took so long, with nothing else at work, is far behind its siblings' */
  readonly isSlow: (tookMs: number) => boolean;
}

/** Reads the probes of one life of an engine that does worse than its siblings. */
export class OutlierCase {
  /** tokens that it had given when it was last looked at */
  #gaps = -1;

  /** @returns what the probe says of it; undefined: nothing, for or against */
  read({ event, tookMs }: ProbeResult, { state, inFlight, page, isSlow }: AtProbe): EngineEvent | undefined {
    const outlier = state.kind === 'suspect' ? state.outlier : undefined;
    // While it works on others it may be late for us.
    if (outlier === 'slow' && event === 'canary_ok' && tookMs !== undefined && isSlow(tookMs))
      return inFlight === 0 ? 'canary_slow' : undefined;
    // It has no room for another answer, as its memory is full, while it gives tokens to those that it has.
    if (outlier === 'mute' && event === 'canary_failed' && this.#givesTokens(page)) return undefined;
    return event;
  }

  #givesTokens(page: string | undefined): boolean {
    const gaps = page === undefined ? this.#gaps : (readPace(page)?.gaps ?? this.#gaps);
    const before = this.#gaps;
    this.#gaps = gaps;
    // Those of the probe itself reached nobody.
    return gaps > before + CANARY_TOKENS;
  }
}
