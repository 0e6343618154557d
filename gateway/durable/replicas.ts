import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import { NumberedConnection } from '#runtime/numbered-connection';

/** A replica of Redis must confirm within this time, in ms. */
const CONFIRMED_WITHIN_MS = 100;
const MARK_LIFE_MS = 1_000;
/** How often a replica is looked for, in ms. */
const LOOK_MS = 10_000;
/**
 * A Redis that lost its last replica within this time confirms nothing, in ms: another one may have been promoted, and what
 * is written here is lost.
 */
const ALONE_MS = 60_000;

/** Whether replicas of the first Redis have what was written. It has its own connection, because `WAIT` blocks it. */
export class Replicas {
  readonly #queue: NumberedConnection;
  readonly #connection: NumberedConnection;
  /** the Redis that had a replica, and when, monotonic ms */
  #seen = { replid: '', at: -Infinity };
  #round: Promise<number> = Promise.resolve(0);
  #next: Promise<number> | undefined;

  /** @param queue what is to be confirmed is written on it @param redis of the manner `once`, for this alone */
  constructor(queue: Redis, redis: Redis) {
    this.#queue = new NumberedConnection(queue);
    this.#connection = new NumberedConnection(redis);
  }

  /** @throws Error if the user of Redis lacks the right */
  async start(): Promise<void> {
    await this.#connection.run(await this.#connection.open(), (redis) => redis.wait(0, 1));
    const look = (): void => void this.#isAlone(this.#connection.number).catch(() => {});
    setInterval(look, LOOK_MS).unref();
    look();
  }

  /** The queue's present connection: all must be written on it, because the next one may be to another server. */
  get present(): number {
    return this.#queue.number;
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

  /** @param written the queue's connection @returns the same; 0: no replica confirms */
  async #ask(written: number): Promise<number> {
    const connection = this.#connection.number;
    const run = <T>(command: (redis: Redis) => Promise<T>): Promise<T> => this.#connection.run(connection, command);
    const mark = redisKeys.replicated(randomBytes(12).toString('hex'));
    // The queue's connection may send it again after a loss: then `written` is another's number, and nothing is confirmed.
    await this.#queue.run(written, (redis) => redis.set(mark, '1', 'PX', MARK_LIFE_MS));
    // A server with the mark has what was written before it. `WAIT` is about the writes of its own connection.
    if ((await run((redis) => redis.del(mark))) === 0) return 0;
    if (await this.#isAlone(connection)) return written;
    return (await run((redis) => redis.wait(1, CONFIRMED_WITHIN_MS))) > 0 ? written : 0;
  }

  /** Redis has no replica, and had none lately. A promoted one counts as another Redis. */
  async #isAlone(connection: number): Promise<boolean> {
    const page = await this.#connection.run(connection, (redis) => redis.info('replication'));
    const [replid = '', now] = [/^master_replid:(\w+)/m.exec(page)?.[1], performance.now()];
    const hasReplica = /^connected_slaves:[1-9]/m.test(page);
    if (hasReplica) this.#seen = { replid, at: now };
    return !hasReplica && (this.#seen.replid !== replid || now - this.#seen.at > ALONE_MS);
  }
}
