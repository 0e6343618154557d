/** A quotation mark inside a JSON text has a backslash before it, so this finds the member alone. */
const NUMBER = /"sequence_number":(\d+)/;

/** Drops the events of an answer that its reader has, up to a number. Comments have no number, and pass. */
export class AfterNumber {
  readonly #after: number;
  #highest = -1;

  constructor(after: number) {
    this.#after = after;
  }

  /** number of the last event, whether the reader had it or gets it */
  get highest(): number {
    return this.#highest;
  }

  /** @param events complete events @returns those that the reader lacks */
  pass(events: Buffer | string): string {
    let passed = '';
    for (const event of events.toString().split(/(?<=\n\n)/)) {
      const number = NUMBER.exec(event)?.[1];
      this.#highest = Math.max(this.#highest, Number(number ?? -1));
      if (number === undefined || Number(number) > this.#after) passed += event;
    }
    return passed;
  }
}
