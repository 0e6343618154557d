import type { Redis } from 'ioredis';
import { redisRights, type RedisPart } from '#contract/redis-rights';
import type { Log } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { requireRedis } from '#runtime/redis-check';
import type { RedisTarget } from '#runtime/redis-target';

/** A gateway's Redis connections. Without a second Redis, `bodies` is the same as `queue`. */
export interface Connections {
  readonly queue: Redis;
  readonly bodies: Redis;
  /** for its reply stream alone, because it blocks there */
  readonly replies: Redis;
  /** for its streams of durable answers alone, because it blocks there */
  readonly owner: Redis;
  /** for the worker that delivers webhook events alone, because it waits out an outage */
  readonly deliveries: Redis;
  /** for waiting for replicas alone, because that blocks it */
  readonly confirm: Redis;
  /** each connection once */
  readonly all: ReadonlySet<Redis>;
}

/**
 * Connects, and checks that Penstock can use each Redis.
 * @param waitMs how long a Redis may take to answer, in milliseconds
 * @throws Error in one sentence if one cannot be used
 */
export async function connectAll(
  targets: { readonly queue: RedisTarget; readonly replies: RedisTarget },
  waitMs: number,
  models: readonly string[],
  log: Log,
): Promise<Connections> {
  const queue = connectRedis(targets.queue, 'fail_fast', 'gateway', log);
  const isOne = targets.replies === targets.queue;
  const bodies = isOne ? queue : connectRedis(targets.replies, 'fail_fast', 'gateway-bodies', log);
  const replies = connectRedis(targets.replies, 'patient', 'gateway-replies', log);
  const owner = connectRedis(targets.queue, 'patient', 'gateway-durable', log);
  const deliveries = connectRedis(targets.queue, 'patient', 'gateway-webhooks', log);
  const confirm = connectRedis(targets.queue, 'once', 'gateway-confirm', log);
  const all = new Set([queue, bodies, replies, owner, deliveries, confirm]);
  const needed = (part: RedisPart) => redisRights('gateway', isOne ? 'single' : part, models);
  const [first, second] = [needed('first'), needed('second')];
  await Promise.all(
    [...all].map((redis) => requireRedis(redis, waitMs, redis === bodies || redis === replies ? second : first)),
  );
  return { queue, bodies, replies, owner, deliveries, confirm, all };
}
