/** Deliveries at a time in one gateway. They are only sockets. */
export const AT_ONCE = 256;
/** What several deliveries of one key, and silent receivers, share. The rest is for the first delivery of each other key. */
const SHARED = AT_ONCE / 2;
/** Deliveries at a time for one key in one gateway. */
const SLOTS_PER_KEY = 8;
/** A receiver whose delivery failed after this time, in ms, is silent: it gets one delivery at a time. */
const SILENT_MS = 1_000;

interface Slots {
  taken: number;
  /** 1 until a delivery has shown that the receiver answers */
  most: number;
  isSilent: boolean;
}

/** Divides the deliveries of one gateway among keys, so that a receiver does not delay the events of other keys. */
export class KeySlots {
  readonly #byKey = new Map<string, Slots>();
  #taken = 0;

  /** How many deliveries of a key may begin now. */
  free(key: string): number {
    const { taken, most, isSilent } = this.#of(key);
    const first = taken === 0 && !isSilent ? 1 : 0;
    return Math.max(0, Math.min(most - taken, Math.max(SHARED - this.#taken, first)));
  }

  /** Takes a slot, until `leave`. @returns false: none is free */
  enter(key: string): boolean {
    if (this.free(key) === 0) return false;
    this.#of(key).taken += 1;
    this.#taken += 1;
    return true;
  }

  /**
   * Gives a slot up.
   * @param tookMs how long its delivery took
   * @returns how many events that wait may come now: one for it, or one for each slot that the key has from now on
   */
  leave(key: string, tookMs: number, isDelivered: boolean): number {
    const slots = this.#of(key);
    const before = slots.most;
    slots.taken -= 1;
    this.#taken -= 1;
    slots.isSilent = !isDelivered && tookMs >= SILENT_MS;
    slots.most = slots.isSilent ? 1 : SLOTS_PER_KEY;
    return slots.most > before ? this.free(key) : Math.min(this.free(key), 1);
  }

  #of(key: string): Slots {
    const slots = this.#byKey.get(key) ?? { taken: 0, most: 1, isSilent: false };
    this.#byKey.set(key, slots);
    return slots;
  }
}
