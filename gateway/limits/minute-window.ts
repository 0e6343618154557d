import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';
import type { Caller } from '../keys/caller.ts';

const WINDOW_SECONDS = 60;

/**
 * Replaces the library's script, which counts what it refuses, and opens a new window for what is given back too late.
 * KEYS: 1 the counter. ARGV: 1 amount, below 0: given back, 2 window in s, 3 limit. Returns the counter with the amount,
 * and the rest of the window in ms.
 */
const COUNT = `
local amount, limit = tonumber(ARGV[1]), tonumber(ARGV[3])
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local left = redis.call('PTTL', KEYS[1])
if left >= 0 then
  if amount < 0 then redis.call('DECRBY', KEYS[1], math.min(used, -amount))
  elseif used + amount <= limit then redis.call('INCRBY', KEYS[1], amount) end
else
  left = ARGV[2] * 1000
  if amount > 0 and amount <= limit then redis.call('SET', KEYS[1], amount, 'EX', ARGV[2]) end
end
return {used + amount, left}`;

/** How an amount was counted, or not. */
export interface Counted {
  readonly isAllowed: boolean;
  /** everything that counts in the window, with this amount if it was allowed */
  readonly used: number;
  /** rest of the window, in milliseconds */
  readonly leftMs: number;
}

/** One limit a minute. The window of a key begins with its first request; all replicas count in the first Redis. */
export class MinuteWindow {
  readonly #limit: 'requests_per_minute' | 'tokens_per_minute';
  readonly #options;
  /** counts what is known only afterwards, above a limit too */
  readonly #unlimited: RateLimiterRedis;
  /** a changed key file has new objects */
  readonly #limiters = new WeakMap<Caller['limits'], RateLimiterRedis>();

  constructor(redis: RedisClient, limit: 'requests_per_minute' | 'tokens_per_minute') {
    this.#limit = limit;
    this.#options = {
      storeClient: redis,
      keyPrefix: redisKeys.limitPrefix(limit),
      duration: WINDOW_SECONDS,
      customIncrTtlLuaScript: COUNT,
    };
    this.#unlimited = new RateLimiterRedis({ ...this.#options, points: Number.MAX_SAFE_INTEGER });
  }

  /**
   * Counts an amount if the limit allows it.
   * @returns undefined if the key has no such limit
   * @throws Error of Redis
   */
  async take({ id, limits }: Caller, amount: number): Promise<Counted | undefined> {
    const allowed = limits[this.#limit];
    if (allowed === undefined) return undefined;
    let limiter = this.#limiters.get(limits);
    if (limiter === undefined)
      this.#limiters.set(limits, (limiter = new RateLimiterRedis({ ...this.#options, points: allowed })));
    try {
      const { consumedPoints, msBeforeNext } = await limiter.consume(id, amount);
      return { isAllowed: true, used: consumedPoints, leftMs: msBeforeNext };
    } catch (cause) {
      if (!(cause instanceof RateLimiterRes)) throw cause;
      return { isAllowed: false, used: cause.consumedPoints - amount, leftMs: cause.msBeforeNext };
    }
  }

  /** Adds to what was counted in the present window, or gives back if `by` is below 0. @throws Error of Redis */
  async correct(keyId: string, by: number): Promise<void> {
    if (by > 0) await this.#unlimited.penalty(keyId, by);
    if (by < 0) await this.#unlimited.reward(keyId, -by);
  }
}
