import { followConnection, isOpen, type RedisClient } from './redis-client.ts';

/** A cluster says so of a command whose node is gone. */
const CLOSED = /^(Connection is closed|Cluster isn't ready)/;

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
  readonly #redis: RedisClient;
  #number = 0;
  #openedAt = 0;
  #isOpen = false;
  #opening: { readonly done: Promise<void>; readonly resolve: () => void } | undefined;
  readonly #lost = new Set<() => void>();

  /** @param onOpen called after each (re)connection */
  constructor(redis: RedisClient, onOpen: () => void = () => {}) {
    this.#redis = redis;
    const opened = (): void => {
      this.#number += 1;
      this.#openedAt = performance.now();
      this.#isOpen = true;
      this.#opening?.resolve();
      this.#opening = undefined;
      onOpen();
    };
    followConnection(redis, opened, () => {
      this.#isOpen = false;
      for (const lose of this.#lost) lose();
    });
    if (isOpen(redis)) opened();
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
  run<T>(number: number, command: (redis: RedisClient) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose = (): void => reject(new LostConnection());
      if (!this.#isOpen || number !== this.#number) return lose();
      this.#lost.add(lose);
      command(this.#redis)
        .then(resolve, (cause: Error) => (CLOSED.test(cause.message) ? lose() : reject(cause)))
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
