import { redisKeys } from '#contract/redis-keys';
import { redisRights, type RedisPart } from '#contract/redis-rights';
import type { Log } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { requireRedis } from '#runtime/redis-check';
import type { RedisClient } from '#runtime/redis-client';
import { beginLogins, type RedisTarget } from '#runtime/redis-target';

/** A gateway's Redis connections. Without a second Redis, `bodies` is the same as `queue`. */
export interface Connections {
  readonly queue: RedisClient;
  readonly bodies: RedisClient;
  /** for its reply stream alone, because it blocks there */
  readonly replies: RedisClient;
  /** for its streams of durable answers alone, because each blocks there */
  readonly owners: readonly { readonly redis: RedisClient; readonly models: readonly string[] }[];
  /** for the worker that delivers webhook events alone, because it waits out an outage */
  readonly deliveries: RedisClient;
  /** for waiting for replicas alone, because that blocks it */
  readonly confirm: RedisClient;
  /** each connection once */
  readonly all: ReadonlySet<RedisClient>;
}

/**
 * Connects, and checks that Penstock can use each Redis.
 * @param waitMs how long a Redis may take to answer, in milliseconds
 * @param models of the catalog
 * @throws Error in one sentence if one cannot be used
 */
export async function connectAll(
  targets: { readonly queue: RedisTarget; readonly replies: RedisTarget },
  waitMs: number,
  models: readonly string[],
  log: Log,
): Promise<Connections> {
  await beginLogins(targets, log);
  const queue = connectRedis(targets.queue, 'fail_fast', 'gateway', log);
  const isOne = targets.replies === targets.queue;
  const bodies = isOne ? queue : connectRedis(targets.replies, 'fail_fast', 'gateway-bodies', log);
  const replies = connectRedis(targets.replies, 'patient', 'gateway-replies', log);
  const deliveries = connectRedis(targets.queue, 'patient', 'gateway-webhooks', log);
  const confirm = connectRedis(targets.queue, 'once', 'gateway-confirm', log);
  const all = new Set([queue, bodies, replies, deliveries, confirm]);
  const rightsIn = (target: RedisTarget, part: RedisPart) =>
    redisRights('gateway', isOne ? 'single' : part, models, target.clusterNodes !== undefined);
  const [first, second] = [rightsIn(targets.queue, 'first'), rightsIn(targets.replies, 'second')];
  await Promise.all(
    [...all].map((redis) => requireRedis(redis, waitMs, redis === bodies || redis === replies ? second : first)),
  );
  const groups = (await keepsApart(queue, models)) ? models.map((model) => [model]) : [models];
  const owners = groups.map((group) => {
    const redis = connectRedis(targets.queue, 'patient', 'gateway-durable', log);
    all.add(redis);
    return { redis, models: group };
  });
  return { queue, bodies, replies, owners, deliveries, confirm, all };
}

/** Whether Redis refuses a command that names the keys of several models, as every cluster does. */
async function keepsApart(redis: RedisClient, models: readonly string[]): Promise<boolean> {
  const keys = models.map((model) => `${redisKeys.ownersPrefix(model)}check`);
  try {
    if (models.length > 1) await redis.xread('COUNT', 1, 'STREAMS', ...keys, ...keys.map(() => '0'));
    return false;
  } catch {
    return true;
  }
}
