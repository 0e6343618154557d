import { decodeFrames, decodeStamp, entryMs, type Frame } from '#contract/frame';
import { replyAddress, speaksFor } from '#contract/model-names';
import { LEASE_MS, redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { isWrongType } from '#runtime/redis-errors';

/** Dispatchers of one model that are remembered; the oldest is forgotten. */
const MOST_HEARD = 4_096;

export interface ReplyEvents {
  frames(model: string, dispatcher: string, frames: readonly Frame[]): void;
  /** entries of this dispatcher are missing: its running answers are incomplete */
  gap(model: string, dispatcher: string): void;
  /** a stream of this replica had lapsed: dispatchers assumed that the replica died and dropped its requests */
  leaseLost(model: string): void;
}

/**
 * The reply stream of a replica for one model. Dispatchers of other models have no right to write here, if each has its own
 * user of Redis. What is read here concerns this model alone, whatever it says.
 */
export class ReplyStream {
  readonly key: string;
  readonly #model: string;
  readonly #events: ReplyEvents;
  readonly #log: Log;
  #lastId = '0-0';
  #trimmedId = '0-0';
  /** per dispatcher: last sequence taken, and the Redis time of its last entry in ms */
  readonly #heard = new Map<string, { sequence: number; atMs: number }>();
  #hasStranger = false;
  #isCreating = false;
  #isReplaced = false;

  constructor(replica: string, model: string, events: ReplyEvents, log: Log) {
    this.key = redisKeys.replies(replyAddress(replica, model));
    this.#model = model;
    this.#events = events;
    this.#log = log;
  }

  /** the last entry that was read */
  get lastId(): string {
    return this.#lastId;
  }

  /** Something else is in its place, so it cannot be read until it is renewed. */
  get isReplaced(): boolean {
    return this.#isReplaced;
  }

  /** Redis time of a dispatcher's last entry, in ms; undefined: it was never heard */
  heardAtMs(dispatcher: string): number | undefined {
    return this.#heard.get(dispatcher)?.atMs;
  }

  /** @throws if Redis does not answer */
  async create(commands: RedisClient): Promise<void> {
    // In one transaction, so that no stream stays without an expiry.
    const results = await commands.multi().xadd(this.key, '*', 's', '', 'b', '').pexpire(this.key, LEASE_MS).exec();
    const [failure, id] = results?.[0] ?? [];
    if (typeof id !== 'string') throw failure ?? new Error('the reply stream was not created');
    // A real id, never `$`, which would skip entries that are written between two reads.
    this.#lastId = id;
    this.#heard.clear();
  }

  /** Looks whether it is still a stream. @throws if Redis does not answer */
  async look(commands: RedisClient): Promise<void> {
    await commands.xtrim(this.key, 'MINID', 0).catch((cause: unknown) => {
      if (!isWrongType(cause)) throw cause;
      if (!this.#isReplaced) this.#log.error({ model: this.#model }, 'a worker replaced the reply stream of its model');
      this.#isReplaced = true;
    });
  }

  /** Renews the lease. Creates the stream again if it had lapsed or was replaced, while `isWanted`. */
  async renew(commands: RedisClient, isWanted: () => boolean): Promise<void> {
    const isThere = !this.#isReplaced && (await commands.pexpire(this.key, LEASE_MS)) === 1;
    if (isThere || !isWanted() || this.#isCreating) return;
    this.#isCreating = true;
    try {
      if (this.#isReplaced) await commands.del(this.key);
      else this.#log.error({ model: this.#model }, 'the lease of this replica had lapsed');
      await this.create(commands);
      this.#isReplaced = false;
      this.#events.leaseLost(this.#model);
    } finally {
      this.#isCreating = false;
    }
  }

  /** Trims by what was read, never by count, and to the last entry, so no answer stays. The empty stream stays. */
  async trim(commands: RedisClient): Promise<void> {
    const read = this.#lastId;
    if (this.#trimmedId === read) return;
    await commands.xtrim(this.key, 'MINID', nextId(read));
    this.#trimmedId = read;
  }

  take(id: string, fields: readonly Buffer[]): void {
    this.#lastId = id;
    const stamp = decodeStamp(fieldOf(fields, 's')?.toString('latin1') ?? '');
    if (stamp === undefined) return;
    const { dispatcher, sequence } = stamp;
    if (!speaksFor(dispatcher, this.#model)) {
      this.#refuse(dispatcher);
      return;
    }
    if (Number.isNaN(sequence)) {
      this.#events.gap(this.#model, dispatcher);
      return;
    }
    const heard = this.#heard.get(dispatcher);
    // ioredis sends a command again after a reconnect: the same entry may appear twice.
    if (heard !== undefined && sequence <= heard.sequence) return;
    const frames = this.#decode(dispatcher, fieldOf(fields, 'b'));
    if (frames === undefined || (heard !== undefined && sequence > heard.sequence + 1))
      this.#events.gap(this.#model, dispatcher);
    this.#heard.set(dispatcher, { sequence, atMs: entryMs(id) });
    if (this.#heard.size > MOST_HEARD)
      for (const oldest of [...this.#heard.keys()].slice(0, 1)) this.#heard.delete(oldest);
    if (frames !== undefined) this.#events.frames(this.#model, dispatcher, frames);
  }

  #refuse(dispatcher: string): void {
    if (!this.#hasStranger)
      this.#log.warn(
        { model: this.#model, dispatcher: dispatcher.slice(0, 80) },
        'a worker writes as one of another model',
      );
    this.#hasStranger = true;
  }

  /** @returns undefined for bytes that cannot be read, which count as lost */
  #decode(dispatcher: string, bytes: Buffer | undefined): readonly Frame[] | undefined {
    try {
      if (bytes === undefined) throw new Error('reply entry holds no frames');
      return decodeFrames(bytes);
    } catch (cause) {
      this.#log.error({ cause, dispatcher }, 'a reply entry could not be read');
      return undefined;
    }
  }
}

/** An entry holds names and values in turn; a newer dispatcher may add some. */
function fieldOf(fields: readonly Buffer[], name: string): Buffer | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i]?.toString('latin1') === name) return fields[i + 1];
  return undefined;
}

/** The smallest id after this one: `<ms>-<number within it>`. */
function nextId(streamId: string): string {
  const dash = streamId.indexOf('-');
  return `${streamId.slice(0, dash)}-${BigInt(streamId.slice(dash + 1)) + 1n}`;
}
