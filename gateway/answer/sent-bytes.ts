import type { ByteBudget } from './byte-budget.ts';

const FIRST_BYTES = 8 * 1024;

/**
 * A copy of the bytes sent to a client, in one growing buffer. The pieces themselves are views of large replies, and
 * would keep these in memory. It is read only if the engine is lost.
 */
export class SentBytes {
  readonly #budget: ByteBudget;
  readonly #limitBytes: number;
  #buffer: Buffer | undefined = Buffer.alloc(0);
  #length = 0;

  /** @param limitBytes of one stream; a longer stream cannot be continued */
  constructor(budget: ByteBudget, limitBytes: number) {
    this.#budget = budget;
    this.#limitBytes = limitBytes;
  }

  add(bytes: Buffer): void {
    if (this.#buffer === undefined) return;
    const needed = this.#length + bytes.length;
    if (needed > this.#buffer.length && !this.#grow(needed)) return;
    bytes.copy(this.#buffer, this.#length);
    this.#length = needed;
  }

  /** @returns undefined if it was too long to keep */
  read(): Buffer | undefined {
    return this.#buffer?.subarray(0, this.#length);
  }

  release(): void {
    this.#budget.giveBack(this.#buffer?.length ?? 0);
    this.#buffer = undefined;
  }

  #grow(needed: number): boolean {
    const before = this.#buffer ?? Buffer.alloc(0);
    const size = Math.min(this.#limitBytes, Math.max(FIRST_BYTES, before.length * 2, needed));
    if (size < needed || !this.#budget.take(size - before.length)) {
      this.release();
      return false;
    }
    const grown = Buffer.allocUnsafeSlow(size);
    before.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
    return true;
  }
}
