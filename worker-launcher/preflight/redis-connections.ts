import { useKeyPrefix } from '#contract/redis-keys';
import { redisRights } from '#contract/redis-rights';
import { createLog, type Log } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { requireRedis } from '#runtime/redis-check';
import { placeOf, type RedisClient } from '#runtime/redis-client';
import { RedisCluster } from '#runtime/redis-cluster';
import type { RedisFacts } from '#runtime/redis-facts';
import { beginLogins, redisTargets } from '#runtime/redis-target';
import type { WorkerConfig } from '../config.ts';

/** A launcher's own connections to its two Redis servers; twice the same if it has one. */
interface RedisConnections {
  readonly queue: RedisClient;
  readonly replies: RedisClient;
}

/** Result of the check that a start would make of one Redis. */
export interface RedisSeen {
  /** its purpose */
  readonly name: 'queue' | 'replies' | 'queue and replies';
  /** `host:port, database n` */
  readonly at: string;
  /** a sentence if Penstock cannot use it */
  readonly found: RedisFacts | string;
}

/**
 * Connects to both Redis servers of a launcher and checks that Penstock can use them.
 * @throws Error in one sentence if it cannot, or if settings cannot be read
 */
export async function connectBoth(config: WorkerConfig, model: string, log: Log): Promise<RedisConnections> {
  const both = await connect(config, log);
  await Promise.all([...new Set([both.queue, both.replies])].map((redis) => requireOf(redis, both, config, model)));
  return both;
}

/**
 * Checks both in the same way, returns the results and disconnects. It removes the keys that it writes to test its rights.
 * @throws Error in one sentence if settings cannot be read
 */
export async function lookAtBoth(config: WorkerConfig, model: string): Promise<RedisSeen[]> {
  const both = await connect(config, createLog('preflight', 'silent'));
  const { queue, replies } = both;
  const look = async (name: RedisSeen['name'], redis: RedisClient): Promise<RedisSeen> => {
    const { name: place, db } = placeOf(redis);
    const at = `${place.replace(/^Redis at /, '')}, database ${db}`;
    const problem = (error: unknown): string => (error instanceof Error ? error.message : String(error));
    return { name, at, found: await requireOf(redis, both, config, model).catch(problem) };
  };
  try {
    if (queue === replies) return [await look('queue and replies', queue)];
    return await Promise.all([look('queue', queue), look('replies', replies)]);
  } finally {
    queue.disconnect();
    replies.disconnect();
  }
}

async function connect(config: WorkerConfig, log: Log): Promise<RedisConnections> {
  useKeyPrefix(config.WORKER_REDIS_PREFIX);
  const targets = redisTargets('WORKER', config);
  await beginLogins(targets, log);
  const { queue, replies } = targets;
  const queueRedis = connectRedis(queue, 'fail_fast', 'launcher', log);
  const replyRedis = replies === queue ? queueRedis : connectRedis(replies, 'fail_fast', 'launcher-replies', log);
  return { queue: queueRedis, replies: replyRedis };
}

function requireOf(redis: RedisClient, { queue, replies }: RedisConnections, config: WorkerConfig, model: string) {
  const part = queue === replies ? 'single' : redis === queue ? 'first' : 'second';
  const rights = redisRights('worker', part, [model], redis instanceof RedisCluster);
  return requireRedis(redis, config.WORKER_REDIS_WAIT_MS, rights);
}
