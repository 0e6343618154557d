import type { Redis } from 'ioredis';

/** The connection was lost before the reply: Redis may have run the command, or not. */
export class LostConnection extends Error {
  constructor() {
    super('the connection to Redis was lost');
  }
}

/**
 * A connection, perhaps to another server each time. Of the manner `once` (`redis.ts`), nothing is sent on the next connection
 * that was meant for the former one. Connections are numbered from 1.
 */
export class NumberedConnection {
  readonly #redis: Redis;
  #number = 0;
  #openedAt = 0;
  #isOpen = false;
  #opening: { readonly done: Promise<void>; readonly resolve: () => void } | undefined;
  readonly #lost = new Set<() => void>();

  /** @param onOpen called after each (re)connection */
  constructor(redis: Redis, onOpen: () => void = () => {}) {
    this.#redis = redis;
    const opened = (): void => {
      this.#number += 1;
      this.#openedAt = performance.now();
      this.#isOpen = true;
      this.#opening?.resolve();
      this.#opening = undefined;
      onOpen();
    };
    redis.on('ready', opened);
    redis.on('close', () => {
      this.#isOpen = false;
      for (const lose of this.#lost) lose();
    });
    if (redis.status === 'ready') opened();
  }

  /** of the present connection; 0: there is none */
  get number(): number {
    return this.#isOpen ? this.#number : 0;
  }

  /** How old the present connection is, in ms, if there was another one before it; else Infinity. */
  get ageMs(): number {
    return this.#number > 1 ? performance.now() - this.#openedAt : Infinity;
  }

  /** Waits for a connection. @returns its number */
  async open(): Promise<number> {
    while (!this.#isOpen) {
      this.#opening ??= waiting();
      await this.#opening.done;
    }
    return this.#number;
  }

  /** Sends a command on the connection with this number. @throws LostConnection; Error as Redis refuses it */
  run<T>(number: number, command: (redis: Redis) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose = (): void => reject(new LostConnection());
      if (!this.#isOpen || number !== this.#number) return lose();
      this.#lost.add(lose);
      command(this.#redis)
        .then(resolve, reject)
        .finally(() => this.#lost.delete(lose));
    });
  }
}

function waiting(): { readonly done: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const done = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { done, resolve };
}
