import type { Redis } from 'ioredis';
import { decodeFrames, type Frame } from '#contract/frame';
import { LEASE_MS, LEASE_REFRESH_MS, redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import { QUESTION_MARK } from './answer-scripts.ts';
import { isAfter } from './log-entries.ts';

const READ_COUNT = 512;
const BLOCK_MS = 500;
const TRIM_MS = 250;
const RETRY_MS = 200;

export interface OwnerStreamDeps {
  /** used for the blocking read alone */
  readonly reader: Redis;
  readonly commands: Redis;
  readonly models: readonly string[];
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
  readonly #timers: NodeJS.Timeout[] = [];
  #isStopped = false;

  constructor(deps: OwnerStreamDeps, events: OwnerEvents) {
    this.#deps = deps;
    this.#events = events;
  }

  /** @throws if Redis does not answer */
  async start(): Promise<void> {
    for (const model of this.#deps.models) await this.#create(this.#key(model));
    const models = new Map(this.#deps.models.map((model) => [this.#key(model), model]));
    this.#timers.push(setInterval(() => void this.#refresh().catch(() => {}), LEASE_REFRESH_MS));
    this.#timers.push(setInterval(() => void this.#trim().catch(() => {}), TRIM_MS));
    void this.#loop(models);
  }

  /**
   * Redis may have failed over, and lack what was read last. New entries then have ids that were read already, if the clock
   * of the new server is behind.
   */
  async again(): Promise<void> {
    for (const [key, read] of this.#read) {
      const [top] = await this.#deps.commands.xrevrange(key, '+', '-', 'COUNT', 1);
      if (top === undefined || isAfter(read, top[0])) await this.#create(key);
    }
    this.#events.missed();
  }

  /** Removes the streams: dispatchers then write to the logs alone. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#deps.reader.disconnect();
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
      if ((await this.#deps.commands.pexpire(key, LEASE_MS)) === 1 || this.#isStopped) continue;
      await this.#create(key);
      this.#events.missed();
    }
  }

  async #trim(): Promise<void> {
    for (const [key, id] of this.#read) {
      if (this.#trimmed.get(key) === id) continue;
      await this.#deps.commands.xtrim(key, 'MINID', id);
      this.#trimmed.set(key, id);
    }
  }

  /** @param models by the key of their stream */
  async #loop(models: ReadonlyMap<string, string>): Promise<void> {
    while (!this.#isStopped) {
      try {
        const [keys, ids] = [[...this.#read.keys()], [...this.#read.values()]];
        const block = ['COUNT', READ_COUNT, 'BLOCK', BLOCK_MS] as const;
        const streams = await this.#deps.reader.xreadBuffer(...block, 'STREAMS', ...keys, ...ids);
        for (const [key, entries] of streams ?? [])
          for (const [id, fields] of entries) {
            this.#read.set(key.toString(), id.toString('latin1'));
            this.#take(models.get(key.toString()) ?? '', fields);
          }
      } catch (cause) {
        if (this.#isStopped) return;
        this.#deps.log.warn({ cause }, 'durable answers not read');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
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
