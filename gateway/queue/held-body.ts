import { UNCOUNTED, type Allowance } from '../intake/body-memory.ts';

/**
 * The engine's request of a waiting request, in pieces. The gateway keeps it until an attempt is cleared to start, so
 * that it can restore a lost job. After that only Redis holds it, because the pictures of all running requests would
 * fill the memory.
 */
export class HeldBody {
  readonly #memory: Allowance;
  /** of the request when it was first enqueued */
  readonly length: number;
  #pieces: readonly Buffer[] | undefined;

  /** @param memory the allowance of the request that it was made from; released with this body */
  constructor(pieces: readonly Buffer[], memory: Allowance = UNCOUNTED) {
    this.#memory = memory;
    this.#pieces = pieces;
    this.length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** the pieces in order; undefined after the release */
  get pieces(): readonly Buffer[] | undefined {
    return this.#pieces;
  }

  /** Takes the request of a further epoch. It was accepted before, so it is never refused for lack of memory. */
  hold(bytes: Buffer): void {
    this.#pieces = [bytes];
  }

  release(): void {
    this.#pieces = undefined;
    this.#memory.release();
  }
}
