import type { HeldBody } from '../queue/held-body.ts';

/** How long what a response was asked stays in memory after Redis has it, in ms. */
const HELD_MS = 30_000;
/** Bytes of all of them. What has no room is not written again. */
const MOST_BYTES = 32 * 1024 * 1024;

/** What the latest responses were asked, for the case that Redis fails over and its replica lacks it. */
export class RecentInputs {
  #bytes = 0;

  /** Releases it later. */
  hold(input: HeldBody): void {
    const { length } = input;
    if (this.#bytes + length > MOST_BYTES) return input.release();
    this.#bytes += length;
    setTimeout(() => {
      this.#bytes -= length;
      input.release();
    }, HELD_MS).unref();
  }
}
