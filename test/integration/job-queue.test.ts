import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Queue, Worker, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import { JOB_OPTIONS, WORKER_OPTIONS, jobId, writtenJob } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { addJob, defineAddJob } from '../../gateway/queue/add-job.ts';
import type { Loads } from '../../worker-launcher/dispatch/engine-slots.ts';
import { JobQueue, type JobEnd, type TakenJob } from '../../worker-launcher/dispatch/job-queue.ts';
import { eventually } from '../support/eventually.ts';
import { silentLog } from '../support/silent-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const MODEL = 'm';
const PREFIX = `${redisKeys.queuePrefix(MODEL)}:text:`;
let server: TestRedis;
let redis: Redis;
const opened: Redis[] = [];
const queues: JobQueue[] = [];

function connect(): Redis {
  const connection = new Redis(server.url, { maxRetriesPerRequest: null });
  opened.push(connection);
  return connection;
}
const jobOf = (requestId: string) =>
  ({
    requestId,
    epoch: 1,
    model: MODEL,
    kind: 'text',
    deadlineMs: 60_000,
    replica: 'g',
    path: '/v1/chat/completions',
  }) as const;
let theirQueue: Queue;
const bullmq = (): Queue => theirQueue;
const addAsBullmq = (requestId: string, priority: number): Promise<Job> =>
  bullmq().add('text', writtenJob(jobOf(requestId)), { ...JOB_OPTIONS, jobId: jobId(requestId, 1), priority });

const UNKNOWN: Loads = { levels: [], step: 0 };
/** Takes jobs until it is closed. @param slots how many may run at a time */
function take(
  slots: number,
  process: (job: TakenJob) => Promise<JobEnd>,
  engines = 1,
  { loads = UNKNOWN, passedMs = 20 } = {},
): JobQueue {
  const queue = new JobQueue({
    redis: connect(),
    blocking: connect(),
    model: MODEL,
    kind: 'text',
    room: () => slots,
    engines: () => engines,
    loads: () => loads,
    passedMs,
    incarnation: `d${queues.length}`,
    process,
    onLockLost: () => {},
    log: silentLog,
  });
  queues.push(queue);
  return queue;
}

/** Everything in Redis but what differs by nature: times, the text of options, the events and the ids nobody uses. */
async function whatIsLeft(): Promise<Record<string, unknown>> {
  const left: Record<string, unknown> = {};
  for (const key of (await server.client.keys('*')).toSorted()) {
    const type = await server.client.type(key);
    if (/:(events|id|meta)$/.test(key)) continue;
    if (type === 'hash') {
      const { timestamp, processedOn, finishedOn, opts = '', ...rest } = await server.client.hgetall(key);
      const times = [timestamp, processedOn, finishedOn].map(
        (at) => at !== undefined && Math.abs(Number(at) - Date.now()) < 60_000,
      );
      left[key] = { ...rest, times, opts: JSON.parse(String(opts)) as unknown };
    } else if (type === 'zset') {
      const members = await server.client.zrange(key, '0', '-1', 'WITHSCORES');
      left[key] = key.endsWith(':completed') ? members.filter((_, index) => index % 2 === 0) : members;
    } else left[key] = type === 'list' ? await server.client.lrange(key, 0, -1) : await server.client.type(key);
  }
  return left;
}

beforeAll(async () => {
  server = await startRedis();
  redis = connect();
  defineAddJob(redis);
  theirQueue = new Queue('text', { connection: redis, prefix: redisKeys.queuePrefix(MODEL) });
});
beforeEach(async () => {
  await Promise.all(queues.splice(0).map((queue) => queue.close(2_000)));
  await server.client.flushall();
});
afterAll(async () => {
  await Promise.all(queues.map((queue) => queue.close(2_000)));
  await theirQueue.close();
  for (const connection of opened) connection.disconnect();
  await server[Symbol.asyncDispose]();
});

test('an added job leaves the same as BullMQ’s own', async () => {
  await addAsBullmq('g-1', 7);
  await addAsBullmq('g-2', 5);
  const theirs = await whatIsLeft();
  await server.client.flushall();
  await addJob(redis, jobOf('g-1'), 7);
  await addJob(redis, jobOf('g-2'), 5);
  await addJob(redis, jobOf('g-2'), 6);
  expect(await whatIsLeft()).toEqual(theirs);
});

test('a taken and finished job leaves the same as BullMQ’s own', async () => {
  await addAsBullmq('g-1', 7);
  const worker = new Worker('text', async () => null, {
    ...WORKER_OPTIONS,
    connection: connect(),
    prefix: redisKeys.queuePrefix(MODEL),
  });
  const isDone = async (): Promise<boolean> => (await server.client.zcard(`${PREFIX}completed`)) === 1;
  await eventually('BullMQ has finished it', isDone);
  await worker.close();
  await server.client.del(`${PREFIX}stalled-check`);
  const theirs = await whatIsLeft();
  await server.client.flushall();
  await addJob(redis, jobOf('g-1'), 7);
  const queue = take(1, async () => ({ kind: 'done' }));
  await eventually('it has finished', isDone);
  await queue.close(2_000);
  await server.client.del(`${PREFIX}stalled-check`);
  const { [`${PREFIX}marker`]: _, ...others } = theirs;
  expect(await whatIsLeft()).toEqual(others);
});

test('jobs of BullMQ and of both lists are taken in the order of their priority, at most as many as there are slots', async () => {
  for (const [id, priority] of [
    ['g-1', 3],
    ['g-2', 1],
    ['g-3', 2],
  ] as const)
    await addAsBullmq(id, priority);
  const started: string[] = [];
  const ends: (() => void)[] = [];
  take(2, async ({ id, data, pickup }) => {
    expect(data).toMatchObject({ model: MODEL, requestId: id.slice(0, -2) });
    expect(pickup).toBe(1);
    started.push(id);
    await new Promise<void>((resolve) => ends.push(resolve));
    return { kind: 'done' };
  });
  await eventually('two run', () => started.length === 2);
  expect(started).toEqual(['g-2-1', 'g-3-1']);
  expect(await bullmq().getJobCounts('active', 'prioritized')).toEqual({ active: 2, prioritized: 1 });
  ends[0]?.();
  await eventually('the third runs', () => started.length === 3);
  for (const end of ends) end();
  await eventually('all are completed', async () => (await bullmq().getCompletedCount()) === 3);
});

test('two dispatchers with one engine each share jobs that arrive together', async () => {
  const taken = [0, 0];
  for (let n = 0; n < 4; n += 1) await addJob(redis, jobOf(`g-${n}`), 1);
  const idle = async (index: number): Promise<JobEnd> => {
    taken[index] = (taken[index] ?? 0) + 1;
    return new Promise<JobEnd>(() => {});
  };
  take(2, () => idle(0));
  take(2, () => idle(1));
  await eventually('all run', () => (taken[0] ?? 0) + (taken[1] ?? 0) === 4);
  expect(taken).toEqual([2, 2]);
});

/** The first of two dispatchers has waited longer for a job. @returns which of them takes it */
async function taker(first: Loads, second: Loads): Promise<string> {
  const taken: string[] = [];
  const start = async (name: string, loads: Loads, dispatchers: number): Promise<void> => {
    const process = async (): Promise<JobEnd> => {
      taken.push(name);
      return { kind: 'done' };
    };
    take(4, process, 1, { loads, passedMs: 30_000 });
    await eventually('it waits', async () => {
      const waiting = String(await server.client.client('LIST')).match(/cmd=bzpopmin/g) ?? [];
      return (
        waiting.length === dispatchers && (await server.client.hlen(redisKeys.loads(MODEL, 'text'))) === dispatchers
      );
    });
  };
  await start('first', first, 1);
  await start('second', second, 2);
  await addJob(redis, jobOf('g-1'), 1);
  await eventually('it was taken', () => taken.length === 1);
  return taken.join(' ');
}
const holding = (requests: number): Loads => ({ levels: [requests / 8, (requests + 1) / 8], step: 1 / 8 });

test('a job goes to the dispatcher whose emptiest engine holds fewer requests, by more than one', async () => {
  expect(await taker(holding(3), holding(1))).toBe('second');
});

test('one request more is no reason to pass a job on', async () => {
  expect(await taker(holding(2), holding(1))).toBe('first');
});

test('a job that was passed to a dispatcher that has died is taken by the other', async () => {
  const [seconds = 0] = await server.client.time();
  await server.client.hset(redisKeys.loads(MODEL, 'text'), 'dead', `0 ${seconds * 1_000}`);
  await addJob(redis, jobOf('g-1'), 1);
  const taken: string[] = [];
  take(
    4,
    async ({ id }) => {
      taken.push(id);
      return { kind: 'done' };
    },
    1,
    { loads: holding(3) },
  );
  await eventually('it was taken', () => taken.length === 1);
});

test('if more jobs wait than a dispatcher has engines, it takes some, however empty others are', async () => {
  const [seconds = 0] = await server.client.time();
  await server.client.hset(redisKeys.loads(MODEL, 'text'), 'emptier', `0 ${seconds * 1_000}`);
  for (let n = 0; n < 4; n += 1) await addJob(redis, jobOf(`g-${n}`), 1);
  const taken: string[] = [];
  take(
    1,
    async ({ id }) => {
      taken.push(id);
      return new Promise<JobEnd>(() => {});
    },
    1,
    { loads: holding(3), passedMs: 30_000 },
  );
  await eventually('one was taken', () => taken.length === 1);
});

test('a job that is handed back comes again after its delay; a job that cannot be read fails', async () => {
  const pickups: number[] = [];
  await addJob(redis, jobOf('g-1'), 1);
  await addJob(redis, jobOf('g-2'), 2);
  take(2, async ({ id, pickup }) => {
    if (id === 'g-2-1') throw new Error('not readable');
    pickups.push(pickup);
    return pickup < 3 ? { kind: 'back', delayMs: 20 } : { kind: 'done' };
  });
  await eventually('it was done', async () => (await bullmq().getJobState('g-1-1')) === 'completed');
  expect(pickups).toEqual([1, 2, 3]);
  await eventually('the other failed', async () => (await bullmq().getJobState('g-2-1')) === 'failed');
});

test('a dispatcher that dies: another one takes its job once the lock has lapsed', async () => {
  await addJob(redis, jobOf('g-1'), 1);
  const dead = take(1, () => new Promise<JobEnd>(() => {}));
  await eventually('it runs', async () => (await bullmq().getActiveCount()) === 1);
  await dead.close(2_000);
  await server.client.del(`${PREFIX}g-1-1:lock`);
  const pickups: number[] = [];
  take(1, async ({ pickup }) => {
    pickups.push(pickup);
    return { kind: 'done' };
  });
  await eventually('it was taken again', () => pickups.length === 1, 30_000);
  expect(pickups).toEqual([2]);
});

test('finished jobs are kept for a minute, and at most 50,000 of them', async () => {
  const old = Date.now() - 61_000;
  for (let n = 0; n < 4; n += 1) {
    await server.client.hset(`${PREFIX}old-${n}`, 'data', '{}');
    await server.client.zadd(`${PREFIX}completed`, String(old), `old-${n}`);
  }
  await addJob(redis, jobOf('g-1'), 1);
  take(1, async () => ({ kind: 'done' }));
  await eventually('two old ones left with it', async () => (await bullmq().getCompletedCount()) === 3);
  expect(await server.client.exists(`${PREFIX}old-0`, `${PREFIX}old-1`)).toBe(0);
  expect(await server.client.exists(`${PREFIX}old-2`, `${PREFIX}old-3`, `${PREFIX}g-1-1`)).toBe(3);
});
