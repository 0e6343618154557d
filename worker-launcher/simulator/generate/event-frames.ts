import type { Step } from '../engine/sequence.ts';
import type { Task } from '../engine/task.ts';
import type { EventStream } from '../http/exchange.ts';
import { StepCollector, type CollectedStep } from './collected-steps.ts';
import type { Generation } from './generate.ts';
import type { ServedModel } from './served-model.ts';

/** What the event streams of chat and of completions share: the head of each event, the counted tokens, the end. */
export class EventFrames {
  /** each event up to its first choice; built once, because it never changes within a stream */
  readonly head: string;
  readonly #out: EventStream;
  readonly #steps: StepCollector;
  readonly #produced: number[];
  #open: number;

  /** @param object the events' `object` */
  constructor(
    out: EventStream,
    object: string,
    { id, sequences }: Pick<Generation, 'id' | 'sequences'>,
    model: ServedModel,
  ) {
    const head = { id, object, created: model.nowSeconds(), model: model.name };
    this.head = `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
    this.#out = out;
    this.#steps = new StepCollector(model.settings);
    this.#produced = sequences.map(() => 0);
    this.#open = sequences.length;
  }

  /** @returns the content of the event that is now due; undefined if none is due */
  take(index: number, step: Step, task: Task): CollectedStep | undefined {
    const { produced } = task.sequence;
    this.#produced[index] = produced;
    return this.#steps.take(index, step, produced);
  }

  /** Tokens of one choice so far. */
  produced(index: number): number {
    return this.#produced[index] ?? 0;
  }

  /**
   * Notes that a choice is complete. After the last one the stream ends.
   * @param closing makes the event before `[DONE]` from the tokens of all choices; '' for none
   */
  complete(closing: (completionTokens: number) => string): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    this.#out.write(closing(this.#produced.reduce((sum, count) => sum + count, 0)));
    this.#end();
  }

  /** An error event, then `[DONE]` and an orderly end, as vLLM does when its engine refuses the request or dies. */
  fail(error: string): void {
    this.#out.write(`data: ${error}\n\n`);
    this.#end();
  }

  #end(): void {
    this.#out.write('data: [DONE]\n\n');
    this.#out.end();
  }
}
