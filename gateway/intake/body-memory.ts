/**
 * Limits the memory for the bodies and pictures of all open requests of a replica; it is reserved before their bytes
 * are kept. One caller gets at most a share of it, so that it cannot use up the memory of all others.
 */
export class BodyMemory {
  readonly #limitBytes: number;
  readonly #shareBytes: number;
  readonly #used = new Map<string, number>();
  #usedBytes = 0;

  /** @param shareBytes limit for one caller */
  constructor(limitBytes: number, shareBytes: number) {
    this.#limitBytes = limitBytes;
    this.#shareBytes = shareBytes;
  }

  /** bytes that are reserved now */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @param owner id of the caller's key */
  open(owner: string): Allowance {
    let taken = 0;
    // What a request takes after its end would never be released.
    let isOver = false;
    return {
      take: (bytes) => {
        if (isOver) return false;
        const used = this.#used.get(owner) ?? 0;
        if (used + bytes > this.#shareBytes || this.#usedBytes + bytes > this.#limitBytes) return false;
        taken += bytes;
        this.#set(owner, used + bytes, bytes);
        return true;
      },
      release: () => {
        isOver = true;
        this.#set(owner, (this.#used.get(owner) ?? 0) - taken, -taken);
        taken = 0;
      },
    };
  }

  #set(owner: string, used: number, change: number): void {
    this.#usedBytes += change;
    if (used > 0) this.#used.set(owner, used);
    else this.#used.delete(owner);
  }
}

/** One request's part of the memory. */
export interface Allowance {
  /** @returns false, and takes nothing, after the release, or if the replica or the caller has too little memory left */
  take(bytes: number): boolean;
  /** Releases all of it; may be called again. */
  release(): void;
}

/** For the gateway's own requests to an engine: a few hundred bytes. */
export const UNCOUNTED: Allowance = { take: () => true, release: () => {} };
