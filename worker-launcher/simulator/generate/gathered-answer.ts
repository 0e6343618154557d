import type { FinishReason, Step } from '../engine/sequence.ts';
import type { Task } from '../engine/task.ts';

/** One choice, as far as the engine has generated it. */
export interface Choice {
  text: string;
  /** one for each token */
  readonly pieces: string[];
  finish: FinishReason | null;
  stopReason: number | string | null;
  produced: number;
}

type MakeBody = (choices: readonly Choice[], completionTokens: number, task: Task) => object;

/** Gathers the steps of a request that is not streamed, and makes one body of them. */
export class GatheredAnswer {
  readonly #choices: readonly Choice[];
  readonly #body: MakeBody;
  #open: number;

  /** @param openings the text that each choice begins with */
  constructor(openings: readonly string[], body: MakeBody) {
    this.#choices = openings.map((text) => ({ text, pieces: [], finish: null, stopReason: null, produced: 0 }));
    this.#body = body;
    this.#open = openings.length;
  }

  /** @returns the body once all choices are complete */
  take(index: number, step: Step, task: Task): object | undefined {
    const choice = this.#choices[index];
    if (choice === undefined) return undefined;
    choice.text += step.text;
    choice.pieces.push(step.piece);
    if (step.finish === null) return undefined;
    choice.finish = step.finish;
    choice.stopReason = step.stopReason;
    choice.produced = task.sequence.produced;
    this.#open -= 1;
    if (this.#open > 0) return undefined;
    const completionTokens = this.#choices.reduce((sum, { produced }) => sum + produced, 0);
    return this.#body(this.#choices, completionTokens, task);
  }
}
