import { UNCOUNTED, type Allowance } from '../intake/body-memory.ts';

/**
 * The engine's request of a request that waits, in pieces. It is kept here until an attempt was cleared to start, so that a queue
 * that loses it gets it again; afterwards Redis holds it alone, as the pictures of all running requests would fill the memory.
 */
export class HeldBody {
  readonly #memory: Allowance;
  /** of the request as it was first enqueued */
  readonly length: number;
  #pieces: readonly Buffer[] | undefined;

  /** @param memory what was taken for the request that it is made of; given back with it */
  constructor(pieces: readonly Buffer[], memory: Allowance = UNCOUNTED) {
    this.#memory = memory;
    this.#pieces = pieces;
    this.length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** end to end; undefined once it was released */
  get pieces(): readonly Buffer[] | undefined {
    return this.#pieces;
  }

  /** Takes the request of a further epoch, which was accepted once and is not refused for want of memory. */
  hold(bytes: Buffer): void {
    this.#pieces = [bytes];
  }

  release(): void {
    this.#pieces = undefined;
    this.#memory.release();
  }
}
