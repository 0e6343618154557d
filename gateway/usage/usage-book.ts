import type { Result } from 'ioredis';
import type { Token } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { BOOK, BOOK_KEYS, booking, dayOf, NO_ATTEMPT, NOTHING_USED, usageLifeMs, type Booked } from '#contract/usage';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { usageRows, type UsageFilter, type UsageRow } from './usage-report.ts';

/** How often refusals are written, in ms: the first Redis gets one write for all of them. */
const WRITE_EVERY_MS = 1_000;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockBook(...args: (string | number)[]): Result<number, Context>;
  }
}

/** What an attempt used whose dispatcher is gone, as far as this gateway saw it. */
export interface Unbooked {
  readonly token: Token;
  readonly slotMs: number;
  /** tokens of its stream that arrived */
  readonly tokens: number;
}

/**
 * The gateway's part of the usage: what no dispatcher can book. No request waits for it. While Redis is away, refusals
 * wait for it, and single bookings are lost.
 */
export class UsageBook {
  readonly #redis: RedisClient;
  readonly #models: readonly string[];
  readonly #days: number;
  readonly #log: Log;
  readonly #writing: NodeJS.Timeout;
  /** refusals that are not written, by model and key */
  #refusals = new Map<string, { readonly model: string; readonly keyId: string; count: number }>();

  /** @param models of the catalog @param days how long usage is kept */
  constructor(redis: RedisClient, models: readonly string[], days: number, log: Log) {
    redis.defineCommand('penstockBook', { numberOfKeys: BOOK_KEYS, lua: BOOK });
    this.#redis = redis;
    this.#models = models;
    this.#days = days;
    this.#log = log;
    // The usage of a model can be found after it has left the catalog.
    redis.sadd(redisKeys.usageModels(), ...models).catch(() => {});
    this.#writing = setInterval(() => void this.write(), WRITE_EVERY_MS).unref();
  }

  /** The part of a job that its booking needs. @param delivered tokens of the answer that its prompt holds */
  forJob(keyId: string, imageTokens: number, delivered: number): Booked['usage'] {
    return { keyId, days: this.#days, imageTokens, deliveredTokens: delivered };
  }

  /** Books an attempt whose dispatcher is gone; if it is not gone, the first booking counts. */
  lost(request: Booked, { token, slotMs, tokens }: Unbooked): void {
    this.#book(booking(request, textOf(token), 'ended', { ...NOTHING_USED, partial: tokens, slotMs }, true));
  }

  /** The answer of this attempt is dropped and asked for again. */
  repeated(request: Booked, token: Token): void {
    this.#book(booking(request, textOf(token), 'repeated', NOTHING_USED, true));
  }

  /** A request ended while it waited: its client left, or it failed. A dispatcher may have taken it just then. */
  leftQueue(request: Omit<Booked, 'usage' | 'deadlineMs'>, keyId: string, how: 'left' | 'failed'): void {
    const booked = { ...request, deadlineMs: 0, usage: this.forJob(keyId, 0, 0) };
    this.#book(booking(booked, NO_ATTEMPT, how === 'left' ? 'ended' : 'refused', NOTHING_USED, false));
  }

  /** A request was refused before it was in the queue. @param model of the catalog, or `unknown` */
  refused(model: string, keyId: string, times = 1): void {
    const name = `${keyId} ${model}`;
    const refusals = this.#refusals.get(name) ?? { model, keyId, count: 0 };
    refusals.count += times;
    this.#refusals.set(name, refusals);
  }

  /** Writes the refusals that wait. */
  async write(): Promise<void> {
    if (this.#refusals.size === 0) return;
    const refusals = [...this.#refusals.values()];
    this.#refusals = new Map();
    // One pipeline each, because a cluster has those of several models apart.
    await Promise.all(
      refusals.map(async ({ model, keyId, count }) => {
        const day = dayOf(Date.now());
        const lifeMs = usageLifeMs(this.#days);
        const [usage, keys] = [redisKeys.usage(model, day, keyId), redisKeys.usageKeys(model, day)];
        const writes = this.#redis.pipeline().hincrby(usage, 'refusals', count).pexpire(usage, lifeMs);
        const results = await writes
          .sadd(keys, keyId)
          .pexpire(keys, lifeMs)
          .exec()
          .catch(() => null);
        if (results?.[0]?.[0] !== null) this.refused(model, keyId, count);
      }),
    );
  }

  /** @throws while Redis is away */
  rows(filter: UsageFilter): Promise<UsageRow[]> {
    return usageRows(this.#redis, this.#models, this.#days, filter);
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    clearInterval(this.#writing);
    await this.write();
  }

  #book(args: readonly (string | number)[]): void {
    this.#redis
      .penstockBook(...args)
      .catch((cause: unknown) => this.#log.debug({ cause }, 'an attempt is missing from the usage'));
  }
}

function textOf({ epoch, attempt }: Token): string {
  return `${epoch}-${attempt}`;
}
