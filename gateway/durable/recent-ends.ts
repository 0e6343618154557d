import type { Clock } from '#runtime/clock';
import type { OwnerWrites } from './owner-writes.ts';

/** An end that Redis lost when it failed over is written again if it is younger than this, in ms. */
const REMEMBERED_MS = 30_000;

/** What this gateway wrote of answers that are over. Without it, a fail-over could free their idempotency keys. */
export class RecentEnds {
  readonly #clock: Clock;
  readonly #recent = new Map<OwnerWrites, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(writes: OwnerWrites): void {
    this.#forgetOld();
    this.#recent.set(writes, this.#clock());
  }

  /** Writes again what Redis lacks. @param onError the next connection to Redis tries again */
  repeat(onError: (id: string, cause: unknown) => void): void {
    this.#forgetOld();
    for (const writes of this.#recent.keys())
      writes.restore().catch((cause: unknown) => onError(writes.owned.id, cause));
  }

  #forgetOld(): void {
    const since = this.#clock() - REMEMBERED_MS;
    for (const [writes, at] of this.#recent) {
      if (at >= since) break;
      this.#recent.delete(writes);
    }
  }
}
