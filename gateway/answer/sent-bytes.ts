import type { ByteBudget } from './byte-budget.ts';

const FIRST_BYTES = 8 * 1024;

/**
 * A copy of what a client was sent, in one growing buffer: the pieces themselves are views of large replies, which they
 * would keep in memory. It is only read when the engine is lost.
 */
export class SentBytes {
  readonly #budget: ByteBudget;
  readonly #limitBytes: number;
  #buffer: Buffer | undefined = Buffer.alloc(0);
  #length = 0;

  /** @param limitBytes of one stream; a longer one cannot be continued */
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

  /** @returns undefined when it was too much to keep */
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
