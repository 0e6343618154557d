import { decodeFrames, type Frame } from '#contract/frame';
import { LEASE_MS, LEASE_REFRESH_MS, redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import { QUESTION_MARK } from './answer-scripts.ts';
import type { RedisClient } from '#runtime/redis-client';
import { isWrongType } from '#runtime/redis-errors';
import { isAfter } from './log-entries.ts';

const READ_COUNT = 512;
const BLOCK_MS = 500;
const TRIM_MS = 250;
const RETRY_MS = 200;

/** One connection reads the streams of several models, except on a cluster, which has them apart. */
export interface OwnerReader {
  readonly redis: RedisClient;
  readonly models: readonly string[];
}

export interface OwnerStreamDeps {
  /** each is used for its blocking read alone */
  readonly readers: readonly OwnerReader[];
  readonly commands: RedisClient;
  /** this gateway's name as an owner */
  readonly owner: string;
  readonly log: Log;
}

export interface OwnerEvents {
  /** a dispatcher wrote an entry to the log of an answer of this model */
  entry(
    answer: { readonly model: string; readonly id: string },
    entry: { readonly id: string; readonly frames: readonly Frame[] },
    dispatcher: string,
  ): void;
  /** an answer of this model was cancelled at any gateway */
  cancelled(answer: { readonly model: string; readonly id: string }): void;
  /** a reader at another gateway asks whether this one is there */
  asked(requestId: string): void;
  /** entries may have been missed: the logs have them */
  missed(): void;
}

/** Reads this replica's reply streams for durable answers, one per model, and keeps them from lapsing. */
export class OwnerStream {
  readonly #deps: OwnerStreamDeps;
  readonly #events: OwnerEvents;
  /** last entry that was read, by key */
  readonly #read = new Map<string, string>();
  readonly #trimmed = new Map<string, string>();
  /** keys with something else in the place of the stream, until they are created again */
  readonly #replaced = new Set<string>();
  readonly #timers: NodeJS.Timeout[] = [];
  #isStopped = false;

  constructor(deps: OwnerStreamDeps, events: OwnerEvents) {
    this.#deps = deps;
    this.#events = events;
  }

  /** @throws if Redis does not answer */
  async start(): Promise<void> {
    for (const { models } of this.#deps.readers) for (const model of models) await this.#create(this.#key(model));
    this.#timers.push(setInterval(() => void this.#refresh().catch(() => {}), LEASE_REFRESH_MS));
    this.#timers.push(setInterval(() => void this.#trim().catch(() => {}), TRIM_MS));
    for (const reader of this.#deps.readers) void this.#loop(reader);
  }

  /**
   * Redis may have failed over, and lack what was read last. New entries then have ids that were read already, if the clock
   * of the new server is behind.
   */
  async again(): Promise<void> {
    for (const [key, read] of this.#read) {
      if (this.#replaced.has(key)) continue;
      const [top] = await this.#deps.commands.xrevrange(key, '+', '-', 'COUNT', 1);
      if (top === undefined || isAfter(read, top[0])) await this.#create(key);
    }
    this.#events.missed();
  }

  /** Removes the streams: dispatchers then write to the logs alone. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const { redis } of this.#deps.readers) redis.disconnect();
    await Promise.all([...this.#read.keys()].map((key) => this.#deps.commands.del(key)));
  }

  #key(model: string): string {
    return redisKeys.ownersPrefix(model) + this.#deps.owner;
  }

  async #create(key: string): Promise<void> {
    // In one transaction, so that no stream stays without an expiry.
    const results = await this.#deps.commands.multi().xadd(key, '*', 's', '').pexpire(key, LEASE_MS).exec();
    const [failure, id] = results?.[0] ?? [];
    if (typeof id !== 'string') throw failure ?? new Error('the stream for durable answers was not created');
    this.#read.set(key, id);
  }

  async #refresh(): Promise<void> {
    for (const key of this.#read.keys()) {
      const isReplaced = this.#replaced.has(key);
      if ((!isReplaced && (await this.#deps.commands.pexpire(key, LEASE_MS)) === 1) || this.#isStopped) continue;
      if (isReplaced) await this.#deps.commands.del(key);
      await this.#create(key);
      this.#replaced.delete(key);
      this.#events.missed();
    }
  }

  async #trim(): Promise<void> {
    for (const [key, id] of this.#read) {
      if (this.#trimmed.get(key) === id || this.#replaced.has(key)) continue;
      await this.#deps.commands.xtrim(key, 'MINID', id);
      this.#trimmed.set(key, id);
    }
  }

  async #loop({ redis, models }: OwnerReader): Promise<void> {
    const byKey = new Map(models.map((model) => [this.#key(model), model]));
    while (!this.#isStopped) {
      try {
        const keys = [...byKey.keys()].filter((key) => !this.#replaced.has(key));
        if (keys.length === 0) await pause();
        if (keys.length === 0) continue;
        const ids = keys.map((key) => this.#read.get(key) ?? '$');
        const block = ['COUNT', READ_COUNT, 'BLOCK', BLOCK_MS] as const;
        const streams = await redis.xreadBuffer(...block, 'STREAMS', ...keys, ...ids);
        for (const [key, entries] of streams ?? [])
          for (const [id, fields] of entries) {
            this.#read.set(key.toString(), id.toString('latin1'));
            this.#take(byKey.get(key.toString()) ?? '', fields);
          }
      } catch (cause) {
        if (this.#isStopped) return;
        this.#deps.log.warn({ cause }, 'durable answers not read');
        // The streams of other models are read on.
        if (isWrongType(cause)) await this.#look([...byKey.keys()]).catch(() => {});
        else await pause();
      }
    }
  }

  /** Finds what is no stream any more. */
  async #look(keys: readonly string[]): Promise<void> {
    for (const key of keys)
      await this.#deps.commands.xtrim(key, 'MINID', 0).catch((cause: unknown) => {
        if (!isWrongType(cause)) throw cause;
        this.#replaced.add(key);
      });
  }

  #take(model: string, [, stamp, ...fields]: readonly Buffer[]): void {
    const dispatcher = stamp?.toString('latin1') ?? '';
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const [requestId = '', id = ''] = fields[at]?.toString('latin1').split(':') ?? [];
      if (id === '' || id === QUESTION_MARK) {
        if (id === '') this.#events.cancelled({ model, id: requestId });
        else this.#events.asked(requestId);
        continue;
      }
      try {
        const entry = { id, frames: decodeFrames(fields[at + 1] ?? Buffer.alloc(0)) };
        this.#events.entry({ model, id: requestId }, entry, dispatcher);
      } catch (cause) {
        this.#deps.log.error({ cause, requestId }, 'an entry of a durable answer could not be read');
      }
    }
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}
