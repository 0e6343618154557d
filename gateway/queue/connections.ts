import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { requireRedis } from '#runtime/redis-check';
import type { RedisTarget } from '#runtime/redis-target';

/** A gateway's connections; with one Redis for all, `bodies` is `queue`. */
export interface Connections {
  readonly queue: Redis;
  readonly bodies: Redis;
  /** of its reply stream alone, as it waits there */
  readonly replies: Redis;
  /** each once */
  readonly all: ReadonlySet<Redis>;
}

/**
 * Connects, and makes sure that each Redis can be served from.
 * @param waitMs how long one may not answer yet, in milliseconds
 * @throws Error in one sentence when one cannot
 */
export async function connectAll(
  targets: { readonly queue: RedisTarget; readonly replies: RedisTarget },
  waitMs: number,
  log: Log,
): Promise<Connections> {
  const queue = connectRedis(targets.queue, 'fail_fast', 'gateway', log);
  const isOne = targets.replies === targets.queue;
  const bodies = isOne ? queue : connectRedis(targets.replies, 'fail_fast', 'gateway-bodies', log);
  const replies = connectRedis(targets.replies, 'patient', 'gateway-replies', log);
  const all = new Set([queue, bodies, replies]);
  const probed = {
    unused: [redisKeys.replies('check'), redisKeys.body('check', 'check')],
    channel: redisKeys.control('check'),
  };
  await Promise.all([...all].map((redis) => requireRedis(redis, waitMs, probed)));
  return { queue, bodies, replies, all };
}
