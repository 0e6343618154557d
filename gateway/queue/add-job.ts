import type { Result } from 'ioredis';
import { JOB_OPTIONS, jobId, writtenJob, type JobV1 } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';

/**
 * Adds a job with a priority to a BullMQ queue, as BullMQ 6.7 does (`test/integration/job-queue.test.ts` compares what both
 * leave), but without the two events a job that no program reads. A job that exists, also a finished one, stays as it is.
 * A full Redis refuses the first write, and so the entire script.
 * KEYS: 1 the job, 2 prioritized, 3 marker, 4 pc, 5 meta. ARGV: 1 id, 2 name, 3 data, 4 options, 5 time in ms, 6 priority.
 */
const ADD = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[2], 'data', ARGV[3], 'opts', ARGV[4], 'timestamp', ARGV[5], 'delay', 0, 'priority', ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[6] * 0x100000000 + redis.call('INCR', KEYS[4]) % 0x100000000, ARGV[1])
if redis.call('HEXISTS', KEYS[5], 'paused') == 0 then redis.call('ZADD', KEYS[3], 0, '0') end
return 1`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockAdd(...args: (string | number)[]): Result<number, Context>;
  }
}

/** Makes `penstockAdd` a command of this connection. */
export function defineAddJob(redis: RedisClient): void {
  redis.defineCommand('penstockAdd', { numberOfKeys: 5, lua: ADD });
}

/**
 * @param redis on which `defineAddJob` was called
 * @param priority at least 1: the lowest goes first
 */
export async function addJob(redis: RedisClient, job: Omit<JobV1, 'v'>, priority: number): Promise<void> {
  const { model, kind, requestId, epoch } = job;
  const id = jobId(requestId, epoch);
  const queue = `${redisKeys.queuePrefix(model)}:${kind}:`;
  await redis.penstockAdd(
    ...[id, 'prioritized', 'marker', 'pc', 'meta'].map((name) => queue + name),
    id,
    kind,
    JSON.stringify(writtenJob(job)),
    JSON.stringify({ ...JOB_OPTIONS, jobId: id, priority }),
    Date.now(),
    priority,
  );
}
