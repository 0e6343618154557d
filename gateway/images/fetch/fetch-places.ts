export interface FetchPlacesLimits {
  /** fetches at a time for one key, and for all keys of this replica */
  readonly perKey: number;
  readonly perReplica: number;
}

/**
 * Limits how many pictures are fetched at a time. A key at its limit waits, in order, until one of its own fetches
 * ends. If several keys wait for the replica, the one with the fewest running fetches is next.
 */
export class FetchPlaces {
  readonly #limits: FetchPlacesLimits;
  readonly #taken = new Map<string, number>();
  readonly #waiting = new Map<string, Set<() => void>>();
  #total = 0;

  constructor(limits: FetchPlacesLimits) {
    this.#limits = limits;
  }

  /**
   * Waits for a free fetch slot. The returned function releases it, and must be called once.
   * @throws `signal.reason`, unchanged; the position in the queue is then free
   */
  async enter(keyId: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (!this.#hasRoom(keyId)) await this.#wait(keyId, signal);
    else this.#take(keyId);
    return () => {
      this.#giveBack(keyId);
      this.#callNext();
    };
  }

  /** The next one of this key waits until one of its own ends. */
  isFull(keyId: string): boolean {
    return this.#of(keyId) + (this.#waiting.get(keyId)?.size ?? 0) >= this.#limits.perKey;
  }

  /** Resolves with the slot taken. */
  #wait(keyId: string, signal: AbortSignal): Promise<void> {
    const line = this.#waiting.get(keyId) ?? new Set();
    this.#waiting.set(keyId, line);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        line.delete(call);
        if (line.size === 0) this.#waiting.delete(keyId);
        signal.removeEventListener('abort', giveUp);
      };
      const call = (): void => {
        leave();
        this.#take(keyId);
        resolve();
      };
      const giveUp = (): void => {
        leave();
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the caller's own reason, whatever it is
        reject(signal.reason);
      };
      line.add(call);
      signal.addEventListener('abort', giveUp);
    });
  }

  #callNext(): void {
    const keys = [...this.#waiting.keys()].filter((keyId) => this.#hasRoom(keyId));
    const next = keys.toSorted((one, other) => this.#of(one) - this.#of(other))[0];
    const [call] = next === undefined ? [] : (this.#waiting.get(next) ?? []);
    call?.();
  }

  #hasRoom(keyId: string): boolean {
    return this.#total < this.#limits.perReplica && this.#of(keyId) < this.#limits.perKey;
  }

  #of(keyId: string): number {
    return this.#taken.get(keyId) ?? 0;
  }

  #take(keyId: string): void {
    this.#total += 1;
    this.#taken.set(keyId, this.#of(keyId) + 1);
  }

  #giveBack(keyId: string): void {
    this.#total -= 1;
    const left = this.#of(keyId) - 1;
    if (left === 0) this.#taken.delete(keyId);
    else this.#taken.set(keyId, left);
  }
}
