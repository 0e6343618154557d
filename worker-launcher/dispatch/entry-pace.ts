/** Time from one entry to the next while frames are many, in milliseconds. */
const BETWEEN_MS = 2;
/** As many frames in one millisecond are many: about twenty streams of fifty tokens a second. */
const MANY_PER_MS = 1;
/** The rate is measured over at least this long, in milliseconds. */
const WINDOW_MS = 20;

/**
 * How soon the next entry of a reply stream is written. Each entry costs a command, and wakes its gateway. While frames
 * are few, each is written immediately. While they are many, an entry waits for more of them. So several dispatchers of one
 * gateway cost it little more than one. Instants are monotonic milliseconds.
 */
export class EntryPace {
  #since = -Infinity;
  #frames = 0;
  #areMany = false;
  #writtenAt = -Infinity;

  /** An entry of so many frames is written now. */
  wrote(frames: number, now: number): void {
    this.#writtenAt = now;
    this.#frames += frames;
    const forMs = now - this.#since;
    if (forMs < WINDOW_MS) return;
    this.#areMany = this.#frames / forMs >= MANY_PER_MS;
    this.#since = now;
    this.#frames = 0;
  }

  /** How long the next entry should wait for further frames, in milliseconds; 0: not at all. */
  waitMs(now: number): number {
    return this.#areMany ? Math.max(0, this.#writtenAt + BETWEEN_MS - now) : 0;
  }
}

/** Waits for the end of this run of the event loop, or longer. */
export function endOfTurn(waitMs: number): Promise<void> {
  return new Promise((resolve) => void (waitMs > 0 ? setTimeout(resolve, waitMs) : setImmediate(resolve)));
}
