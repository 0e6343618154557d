/** Deliveries at a time for one key in one gateway: a slow receiver must not delay those of others. */
export const SLOTS_PER_KEY = 8;
/** Shortest and longest wait of an event whose key has no free slot, in ms. */
const SHORTEST_MS = 20;
const LONGEST_MS = 120_000;
/** How long a delivery takes before one was measured, in ms. */
const GUESS_MS = 100;

interface Slots {
  taken: number;
  /** how long the last delivery took, in ms */
  lastMs: number;
  /** monotonic ms: all events that wait have a slot before */
  bookedUntil: number;
}

/** Divides deliveries among keys. What finds no slot waits as long as those before it will need. */
export class KeySlots {
  readonly #now: () => number;
  readonly #byKey = new Map<string, Slots>();

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes a slot, until `leave`. @returns undefined; without a slot, how long to wait before the next try, in ms */
  enter(key: string): number | undefined {
    const slots = this.#byKey.get(key) ?? { taken: 0, lastMs: GUESS_MS, bookedUntil: 0 };
    this.#byKey.set(key, slots);
    if (slots.taken < SLOTS_PER_KEY) {
      slots.taken += 1;
      return undefined;
    }
    const now = this.#now();
    slots.bookedUntil = Math.max(slots.bookedUntil, now) + slots.lastMs / SLOTS_PER_KEY;
    return Math.ceil(Math.min(Math.max(slots.bookedUntil - now, SHORTEST_MS), LONGEST_MS));
  }

  /** @param tookMs how long its delivery took */
  leave(key: string, tookMs: number): void {
    const slots = this.#byKey.get(key);
    if (slots === undefined) return;
    slots.taken -= 1;
    slots.lastMs = tookMs;
  }
}
