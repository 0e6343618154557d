import { openSync, writeSync } from 'node:fs';
import type { Step } from './sequence.ts';

/** What the ledger needs to know of a request. */
interface Entered {
  readonly id: string;
  readonly prompt: { readonly count: number; readonly imageTokens: number };
}

/**
 * A file with what each request really got, for comparison with what others counted. It has a line of JSON for each
 * arrival, token and end. Each is written immediately, so that a killed process leaves what it made. `at` is milliseconds since 1970.
 */
export class Ledger {
  readonly #file: number | undefined;

  /** @param path appended to; several engines may share it; '' for none */
  constructor(path: string) {
    this.#file = path === '' ? undefined : openSync(path, 'a');
  }

  arrived({ id, prompt }: Entered): void {
    this.#write({ id, prompt: prompt.count, pictures: prompt.imageTokens, at: Date.now() });
  }

  /** @param made tokens of this choice until now, if the step made one */
  step({ id }: Entered, choice: number, step: Step, made: number): void {
    if (this.#file === undefined) return;
    const end = step.finish === null ? {} : { end: step.finish, at: Date.now() };
    this.#write({ id, choice, made, ...end });
  }

  /** Its client left, or the engine died. */
  cut({ id }: Entered): void {
    this.#write({ id, end: 'cut', at: Date.now() });
  }

  #write(line: object): void {
    if (this.#file !== undefined) writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}
