/** One timer for many members: a timer each would cost every request more than its checks. */
export class Ticks {
  readonly #everyMs: number;
  readonly #members = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  /** @param everyMs interval of the calls, in milliseconds */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** Calls `tick` at each interval, until it leaves. Joining twice is the same as once. */
  join(tick: () => void): void {
    this.#members.add(tick);
    this.#timer ??= setInterval(() => {
      for (const member of this.#members) member();
    }, this.#everyMs);
  }

  leave(tick: () => void): void {
    this.#members.delete(tick);
    if (this.#members.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
