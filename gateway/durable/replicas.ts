import { randomBytes } from 'node:crypto';
import type { ChainableCommander } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import { NumberedConnection } from '#runtime/numbered-connection';
import type { RedisClient } from '#runtime/redis-client';

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

/**
 * Whether replicas of the first Redis have what was written of a model. It has its own connection, because `WAIT` blocks it. Each
 * model has its own rounds, because a cluster may have models on several servers.
 */
export class Replicas {
  readonly #queue: NumberedConnection;
  readonly #models: ReadonlyMap<string, ModelReplicas>;

  /** @param queue what is to be confirmed is written on it @param redis of the manner `once`, for this alone */
  constructor(queue: RedisClient, redis: RedisClient, models: readonly string[]) {
    this.#queue = new NumberedConnection(queue);
    const connection = new NumberedConnection(redis);
    this.#models = new Map(models.map((model) => [model, new ModelReplicas(this.#queue, connection, model)]));
  }

  /** @throws Error if the user of Redis lacks the right */
  async start(): Promise<void> {
    for (const model of this.#models.values()) await model.start();
  }

  /** The queue's present connection: all must be written on it, because the next one may be to another server. */
  get present(): number {
    return this.#queue.number;
  }

  /**
   * Waits until a replica has all that was written of a model before. All callers share a round; those that come during one
   * share the next.
   * @param since `present` before the first write
   * @throws if Redis is away, or was since then, or if it has a replica and none confirms
   */
  async insist(model: string, since: number): Promise<void> {
    const confirmedOn = await this.#models.get(model)?.round();
    if (confirmedOn !== since || since === 0) throw new Error('no replica of Redis has confirmed it');
  }
}

class ModelReplicas {
  readonly #queue: NumberedConnection;
  readonly #connection: NumberedConnection;
  readonly #model: string;
  /** the Redis that had a replica, and when, monotonic ms */
  #seen = { replid: '', at: -Infinity };
  #round: Promise<number> = Promise.resolve(0);
  #next: Promise<number> | undefined;

  constructor(queue: NumberedConnection, connection: NumberedConnection, model: string) {
    this.#queue = queue;
    this.#connection = connection;
    this.#model = model;
  }

  async start(): Promise<void> {
    await this.#onServer(await this.#connection.open(), this.#newMark(), (commands) => commands.wait(0, 1));
    const look = (): void => void this.#look(this.#connection.number, this.#newMark()).catch(() => {});
    setInterval(look, LOOK_MS).unref();
    look();
  }

  /** @returns the queue's connection; 0: no replica confirms */
  async round(): Promise<number> {
    this.#next ??= this.#round
      .catch(() => 0)
      .then(() => {
        this.#next = undefined;
        this.#round = this.#ask(this.#queue.number);
        return this.#round;
      });
    return this.#next;
  }

  /** @param written the queue's connection @returns the same; 0: no replica confirms */
  async #ask(written: number): Promise<number> {
    const connection = this.#connection.number;
    const mark = this.#newMark();
    // The queue's connection may send it again after a loss: then `written` is another's number, and nothing is confirmed.
    await this.#queue.run(written, (redis) => redis.set(mark, '1', 'PX', MARK_LIFE_MS));
    // A server with the mark has what was written before it. `WAIT` is about the writes of its own connection.
    const { isMarked, isAlone } = await this.#look(connection, mark);
    if (!isMarked) return 0;
    if (isAlone) return written;
    const confirmed = await this.#onServer(connection, mark, (commands) => commands.wait(1, CONFIRMED_WITHIN_MS));
    return Number(confirmed) > 0 ? written : 0;
  }

  /**
   * `isAlone`: the server has no replica, and had none lately. A promoted one counts as another Redis. Removes the mark.
   */
  async #look(connection: number, mark: string): Promise<{ readonly isMarked: boolean; readonly isAlone: boolean }> {
    let deleted: unknown;
    const page = String(
      await this.#onServer(connection, mark, (commands) =>
        commands
          .del(mark, (_error, count) => {
            deleted = count;
          })
          .info('replication'),
      ),
    );
    const [replid = '', now] = [/^master_replid:(\w+)/m.exec(page)?.[1], performance.now()];
    const hasReplica = /^connected_slaves:[1-9]/m.test(page);
    if (hasReplica) this.#seen = { replid, at: now };
    const isAlone = !hasReplica && (this.#seen.replid !== replid || now - this.#seen.at > ALONE_MS);
    return { isMarked: deleted === 1, isAlone };
  }

  /** Runs commands at the server that has the mark's key. @returns the reply to the last one @throws its error */
  async #onServer(
    connection: number,
    mark: string,
    add: (commands: ChainableCommander) => ChainableCommander,
  ): Promise<unknown> {
    const replies = await this.#connection.run(connection, (redis) => add(redis.pipeline().exists(mark)).exec());
    const [error, reply] = replies?.at(-1) ?? [];
    if (error instanceof Error) throw error;
    return reply;
  }

  #newMark(): string {
    return redisKeys.replicated(this.#model, randomBytes(12).toString('hex'));
  }
}
