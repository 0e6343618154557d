import type { Result } from 'ioredis';
import type { JobV1, Token } from '#contract/job';
import { BOOK, BOOK_KEYS, booking, type AttemptUsage } from '#contract/usage';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';

/** A booking that Redis refuses (out of memory, read-only) is tried this often, with this pause in ms. */
const TRIES = 60;
const PAUSE_MS = 1_000;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockBook(...args: (string | number)[]): Result<number, Context>;
  }
}

/** Books what each attempt used, once; no caller waits for it. */
export class UsageBook {
  readonly #redis: RedisClient;
  readonly #log: Log;

  constructor(redis: RedisClient, log: Log) {
    redis.defineCommand('penstockBook', { numberOfKeys: BOOK_KEYS, lua: BOOK });
    this.#redis = redis;
    this.#log = log;
  }

  /** @param isOver the engine ended the answer itself, so that another attempt is unlikely */
  book({ usage, ...job }: JobV1, { epoch, attempt }: Token, used: AttemptUsage, isOver: boolean): void {
    if (usage === undefined) return;
    const delivered = used.prompt === 0 ? 0 : usage.deliveredTokens;
    const picture = used.prompt === 0 ? 0 : usage.imageTokens;
    const own = { ...used, prompt: used.prompt - delivered, picture };
    void this.#write(booking({ ...job, usage }, `${epoch}-${attempt}`, 'ended', own, !isOver), TRIES);
  }

  async #write(args: readonly (string | number)[], triesLeft: number): Promise<void> {
    try {
      await this.#redis.penstockBook(...args);
    } catch (cause) {
      if (triesLeft > 1) setTimeout(() => void this.#write(args, triesLeft - 1), PAUSE_MS).unref();
      else this.#log.warn({ cause }, 'an attempt is missing from the usage');
    }
  }
}
