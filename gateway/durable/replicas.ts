import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import { NumberedConnection } from '#runtime/numbered-connection';

/** A replica of Redis must confirm within this time, in ms. */
const CONFIRMED_WITHIN_MS = 100;
const MARK_LIFE_MS = 1_000;

/** Whether replicas of the first Redis have what was written. It has its own connection, because `WAIT` blocks it. */
export class Replicas {
  readonly #connection: NumberedConnection;
  #round: Promise<number> = Promise.resolve(0);
  #next: Promise<number> | undefined;

  /** @param redis of the manner `once`, for this alone */
  constructor(redis: Redis) {
    this.#connection = new NumberedConnection(redis);
  }

  /** @throws Error if the user of Redis lacks the right */
  async check(): Promise<void> {
    await this.#connection.run(await this.#connection.open(), (redis) => redis.wait(0, 1));
  }

  /** The present connection: what is written now must be confirmed on it, because the next one may be to another server. */
  get present(): number {
    return this.#connection.number;
  }

  /**
   * Waits until a replica has all that was written before. All callers share a round; those that come during one share the next.
   * @param since `present` before the first write
   * @returns true also if there is no replica @throws if Redis is away, or was since then
   */
  async confirm(since: number): Promise<boolean> {
    this.#next ??= this.#round
      .catch(() => 0)
      .then(() => {
        this.#next = undefined;
        this.#round = this.#ask(this.present);
        return this.#round;
      });
    const confirmedOn = await this.#next;
    return confirmedOn > 0 && confirmedOn === since;
  }

  /** The same. @throws also if no replica confirms */
  async insist(since: number): Promise<void> {
    if (!(await this.confirm(since))) throw new Error('no replica of Redis has confirmed it');
  }

  /** @returns the number of the connection; 0: no replica confirms */
  async #ask(connection: number): Promise<number> {
    const run = <T>(command: (redis: Redis) => Promise<T>): Promise<T> => this.#connection.run(connection, command);
    const page = await run((redis) => redis.info('replication'));
    if (!/^connected_slaves:[1-9]/m.test(page)) return connection;
    // `WAIT` is about the writes of its own connection.
    await run((redis) => redis.set(redisKeys.replicated(), '1', 'PX', MARK_LIFE_MS));
    return (await run((redis) => redis.wait(1, CONFIRMED_WITHIN_MS))) > 0 ? connection : 0;
  }
}
