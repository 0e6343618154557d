import type { ByteBudget } from './byte-budget.ts';

/**
 * The engine's request of a request that waits. It is kept here until an attempt was let go, so that a queue that loses
 * it gets it again; afterwards Redis holds it alone, as the pictures of all running requests would fill the memory.
 */
export class HeldBody {
  readonly #budget: ByteBudget;
  /** of the request as it was first enqueued */
  readonly length: number;
  #bytes: Buffer | undefined;
  #charged = 0;

  constructor(budget: ByteBudget, bytes: Buffer) {
    this.#budget = budget;
    this.#bytes = bytes;
    this.length = bytes.length;
  }

  /** Counts it against the budget. @returns false when there is no room for it */
  charge(): boolean {
    if (!this.#budget.take(this.length)) return false;
    this.#charged = this.length;
    return true;
  }

  get bytes(): Buffer | undefined {
    return this.#bytes;
  }

  /** Takes the request of a further life, which was accepted once and is not refused for want of memory. */
  hold(bytes: Buffer): void {
    this.#bytes = bytes;
  }

  letGo(): void {
    this.#bytes = undefined;
    this.#budget.giveBack(this.#charged);
    this.#charged = 0;
  }
}
