import type { SimulatorSettings } from '../command-line/settings.ts';
import type { Step } from '../engine/sequence.ts';

/** One or more decode steps of a choice that one event tells of. */
export interface CollectedStep extends Omit<Step, 'piece'> {
  /** one a token; '' where the answer was ended without one */
  readonly pieces: readonly string[];
}

/**
 * Steps of the choices of one stream that wait for their event: each has one of its own but with `--stream-interval`,
 * and but for those that vLLM, while it is busy, finds waiting together (`--sim-merge-every`).
 */
export class StepCollector {
  readonly #interval: number;
  readonly #mergeEvery: number;
  readonly #waiting: (Pick<CollectedStep, 'pieces' | 'text'> | undefined)[] = [];

  constructor({ tokensPerEvent, mergeEvery }: Pick<SimulatorSettings, 'tokensPerEvent' | 'mergeEvery'>) {
    this.#interval = tokensPerEvent;
    this.#mergeEvery = mergeEvery;
  }

  /**
   * @param produced tokens of this choice so far, this one included
   * @returns what the event that is now due tells of; undefined while none is
   */
  take(index: number, { piece, ...step }: Step, produced: number): CollectedStep | undefined {
    const before = this.#waiting[index];
    const pieces = [...(before?.pieces ?? []), piece];
    const collected = { ...step, pieces, text: (before?.text ?? '') + step.text };
    const waits =
      step.finish === null &&
      ((this.#interval > 1 && produced % this.#interval !== 1) ||
        (this.#mergeEvery > 0 && produced % this.#mergeEvery === 0));
    this.#waiting[index] = waits ? collected : undefined;
    return waits ? undefined : collected;
  }
}
