import type { SimulatorSettings } from '../command-line/settings.ts';

/** How long a real engine would take. All times in milliseconds. */
export interface Timing {
  /** from being scheduled to the first token */
  firstTokenMs(request: { readonly pictures: number; readonly running: number; readonly now: number }): number;
  /** between two tokens of one stream */
  tokenGapMs(running: number): number;
}

/**
 * Concurrent streams, time between two tokens and to the first one, in ms. Measured on one H100 80 GB with vLLM 0.24,
 * the true architecture with random weights, prompts of some 200 words. It made 240 tokens/s with one stream, 4,180
 * with 32, 6,800 with 128, 7,350 with 256.
 */
const MEASURED = [
  { running: 1, gap: 4.2, first: 19 },
  { running: 32, gap: 7.7, first: 168 },
  { running: 128, gap: 18.8, first: 442 },
  { running: 256, gap: 34.8, first: 864 },
] as const;
/** Pictures are prepared one after another: 7.2 a second, whatever the load. */
const PICTURE_MS = 139;
/** Memory bandwidth, which bounds decoding, of the H100 over that of the A100 80 GB: an estimate, not a measurement. */
const A100_SLOWER = 1.6;

export function createTiming(settings: Pick<SimulatorSettings, 'profile' | 'ttftMs' | 'itlMs'>): Timing {
  if (settings.profile === 'none') {
    return { firstTokenMs: () => settings.ttftMs, tokenGapMs: () => settings.itlMs };
  }
  const slower = settings.profile === 'a100' ? A100_SLOWER : 1;
  let picturesReadyAt = 0;
  return {
    firstTokenMs({ pictures, running, now }) {
      const computing = interpolate(running, 'first') * slower + settings.ttftMs;
      if (pictures === 0) return computing;
      picturesReadyAt = Math.max(picturesReadyAt, now) + PICTURE_MS * pictures;
      return computing + picturesReadyAt - now;
    },
    tokenGapMs: (running) => interpolate(running, 'gap') * slower + settings.itlMs,
  };
}

function interpolate(running: number, what: 'gap' | 'first'): number {
  const above = MEASURED.findIndex((point) => running <= point.running);
  const high = MEASURED[above] ?? MEASURED[3];
  if (above < 0) return (high[what] * running) / high.running;
  const low = MEASURED[above - 1];
  if (low === undefined) return high[what];
  return low[what] + ((running - low.running) / (high.running - low.running)) * (high[what] - low[what]);
}
