import type { Result } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';

/** How many events of one key may wait for a delivery or for another try. Redis needs about 12 MB for them. */
const MOST_OF_KEY = 10_000;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockWebhookWait(...args: (string | number)[]): Result<number, Context>;
    penstockWebhookTake(...args: (string | number)[]): Result<string[], Context>;
  }
}

const NOW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * Notes that an event waits. KEYS: 1 the events of its key (sorted set by the Redis time, in ms, from which they may be
 * taken), 2 the keys with events that wait. ARGV: 1 id, 2 in how many ms it may be taken, 3 how many may wait, 4 id of the
 * key. One that may be taken now keeps an earlier place. Returns 0 if too many wait.
 */
const WAIT = `${NOW}
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2] == '0' and 'LT' or 'CH', now + ARGV[2], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[4])
return 1`;

/** Takes those that waited longest. KEYS as in `WAIT`. ARGV: 1 how many, 2 id of the key. Returns their ids. */
const TAKE = `${NOW}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do redis.call('ZREM', KEYS[1], id) end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[2]) end
return ids`;

/**
 * Which events wait, by key, for all gateways together. Each is a delayed job too, which comes by itself, if late: so
 * nothing is lost with what is noted here.
 */
export class WaitingEvents {
  readonly #redis: RedisClient;

  constructor(redis: RedisClient) {
    redis.defineCommand('penstockWebhookWait', { numberOfKeys: 2, lua: WAIT });
    redis.defineCommand('penstockWebhookTake', { numberOfKeys: 2, lua: TAKE });
    this.#redis = redis;
  }

  /**
   * @param forMs it is not taken before, in ms
   * @param isNew it did not wait before; others keep their place
   * @returns false: too many events of its key wait
   */
  async add(key: string, id: string, forMs: number, isNew: boolean): Promise<boolean> {
    const most = isNew ? MOST_OF_KEY : Number.MAX_SAFE_INTEGER;
    return (await this.#redis.penstockWebhookWait(...keysOf(key), id, forMs, most, key)) === 1;
  }

  async remove(key: string, id: string): Promise<void> {
    await this.#redis.zrem(redisKeys.webhooksWaiting(key), id);
  }

  /** Removes those that waited longest. @returns their ids */
  take(key: string, count: number): Promise<string[]> {
    return this.#redis.penstockWebhookTake(...keysOf(key), count, key);
  }

  /** The keys with events that wait. */
  keys(): Promise<string[]> {
    return this.#redis.smembers(redisKeys.webhooksWaitingKeys());
  }
}

function keysOf(key: string): string[] {
  return [redisKeys.webhooksWaiting(key), redisKeys.webhooksWaitingKeys()];
}
