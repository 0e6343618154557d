/** Bytes that all requests of a replica together may keep in memory for one purpose. */
export class ByteBudget {
  readonly #limitBytes: number;
  #used = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }
  /** @returns false, and takes nothing, if fewer bytes remain */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#limitBytes) return false;
    this.#used += bytes;
    return true;
  }
  giveBack(bytes: number): void {
    this.#used -= bytes;
  }
}
