import type { Intake } from '../engine/pace.ts';

/** One request on an engine. */
export interface Waiting {
  /** a byte of its answer came; further ones say nothing */
  heard(): void;
  over(): void;
}

/** Which requests of one engine have no byte of an answer yet; instants are monotonic milliseconds. */
export class FirstBytes {
  readonly #waiting = new Map<Waiting, { readonly since: number; readonly weight: number }>();
  #taken = 0;
  #heardAt = -Infinity;

  /** @param weight what reading its prompt costs */
  begin(weight: number): Waiting {
    const waiting: Waiting = {
      heard: () => {
        if (this.#waiting.delete(waiting)) this.#heardAt = performance.now();
      },
      over: () => void this.#waiting.delete(waiting),
    };
    this.#taken += weight;
    this.#waiting.set(waiting, { since: performance.now(), weight });
    return waiting;
  }

  get report(): Intake {
    const now = performance.now();
    const all = [...this.#waiting.values()];
    const since = Math.max(Math.min(...all.map((one) => one.since)), this.#heardAt);
    return {
      taken: this.#taken,
      waiting: all.reduce((sum, { weight }) => sum + weight, 0),
      silentMs: all.length === 0 ? 0 : now - since,
      heardAgoMs: this.#heardAt === -Infinity ? null : now - this.#heardAt,
    };
  }
}
