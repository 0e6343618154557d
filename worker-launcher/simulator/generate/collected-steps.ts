import type { SimulatorSettings } from '../command-line/settings.ts';
import type { Step } from '../engine/sequence.ts';

/** One or more decode steps of a choice, sent in one event. */
export interface CollectedStep extends Omit<Step, 'piece'> {
  /** one for each token; '' if the answer was ended without a token */
  readonly pieces: readonly string[];
}

/**
 * Steps of the choices of one stream that wait for their event. Each step has its own event, except with
 * `--stream-interval`, and except those that a busy vLLM merges (`--sim-merge-every`).
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
   * @returns the content of the event that is now due; undefined if none is due
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
