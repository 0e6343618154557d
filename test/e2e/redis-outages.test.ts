import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Queue, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { JobV1 } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { call, type Call, type Outcome } from '../support/call.ts';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { either, lasts } from '../support/full-length.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const STREAMS = either(50, 20);
const WAITING = either(99, 39);
/** number of waiting requests during the outage */
const LEAVING = 5;
const OUTAGE_MS = either(20_000, 4_000);
/** Between two tokens of the engine. */
const TOKEN_MS = 50;
/** how many times as long everything in the engine takes while requests come */
const SLOWER = 20;
const LIMIT_JOBS = 100;

const messages = [{ role: 'user', content: 'Tell me of rivers.' }];
/** A short question in each form, one after the other. */
const FORMS = [
  ['/v1/chat/completions', { messages, max_tokens: 4, stream: true }],
  ['/v1/chat/completions', { messages, max_tokens: 4 }],
  ['/score', { input_data: { input_string: messages, parameters: { max_new_tokens: 4 } } }],
] as const;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    gatewayEnv: { GATEWAY_QUEUE_LIMIT_JOBS: String(LIMIT_JOBS) },
    workerEnv: { PENSTOCK_SIM_ITL_MS: String(TOKEN_MS), WORKER_MAX_IN_FLIGHT_TEXT: String(STREAMS) },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

/** every request of the running test */
const open: Call[] = [];
// The slots and places of a test that failed are not the next one's.
afterEach(async () => {
  for (const one of open.splice(0)) one.leave('close');
  await eventually('nothing runs or waits', async () => (await running()) === 0 && (await places()) === 0);
}, 60_000);

function send(path: string, body: object): Call {
  const sent = call(stack.url + path, body);
  open.push(sent);
  return sent;
}
const ask = (n: number): Call => {
  const [path, body] = FORMS[n % FORMS.length] ?? FORMS[0];
  return send(path, body);
};
const depth = (): Promise<number> => stack.metric('penstock_queue_depth');
/** of those that wait */
const places = (): Promise<number> => stack.redis.client.zcard(redisKeys.reservations(MODEL));
const running = (): Promise<number> => stack.engineMetric('vllm:num_requests_running');

/** Runs `work` while everything in the engine takes longer, so that no running stream ends before it is done. */
async function slowed<T>(work: () => Promise<T>): Promise<T> {
  // An emptied Redis has no worker until its next report.
  const engine = await eventually('the engine is known', async () => (await stack.status()).workers[0]?.engines[0]);
  await setFaults(engine, { slow: SLOWER });
  return work().finally(() => setFaults(engine, null));
}
/** Takes the engine's last `count` slots, for `tokens` tokens each. */
async function occupy(count: number, tokens: number): Promise<Call[]> {
  const body = { messages, max_tokens: tokens, ignore_eos: true, stream: true };
  return slowed(async () => {
    const streams = Array.from({ length: count }, () => send('/v1/chat/completions', body));
    await eventually('all slots are taken', async () => (await running()) === STREAMS && (await places()) === 0);
    return streams;
  });
}
async function queueUp(count: number): Promise<Call[]> {
  return slowed(async () => {
    const calls = Array.from({ length: count }, (_, n) => ask(n));
    // A reservation precedes its job; after an outage the queue may still contain jobs of requests that ended in it.
    await eventually('they wait', async () => (await places()) === count && (await depth()) >= count);
    return calls;
  });
}
/** Checks that it ended in a way that a client can recognise. @returns whether it is complete */
function tellsTheTruth({ status, body, isWhole }: Outcome): boolean {
  expect(isWhole).toBe(true);
  if (status === 200 && body.endsWith('data: [DONE]\n\n')) return true;
  expect(status >= 500 || /\ndata: \{"error":.*\n\n$/.test(body)).toBe(true);
  return false;
}
async function answered(calls: readonly Call[]): Promise<void> {
  const outcomes = await Promise.all(calls.map(({ ended }) => ended));
  expect(outcomes.map(({ status, body }) => (status === 200 ? 200 : body))).toEqual(outcomes.map(() => 200));
  for (const { body, headers } of outcomes)
    if (headers['content-type']?.includes('event-stream')) expect(body.endsWith('data: [DONE]\n\n')).toBe(true);
}
async function nothingLeft(): Promise<void> {
  await eventually('gauges at 0', async () => {
    const open = await stack.metric('penstock_requests_in_flight');
    return open === 0 && (await depth()) === 0 && (await running()) === 0;
  });
  expect(await stack.redis.client.keys('*:body:*')).toEqual([]);
  expect(await stack.redis.client.keys('*:reserv*')).toEqual([]);
}
/** Exactly the allowed number is admitted, and all are answered. */
async function admitsAsManyAsBefore(): Promise<void> {
  const streams = await occupy(STREAMS, 4_000);
  const calls = await queueUp(LIMIT_JOBS);
  expect((await ask(0).ended).status).toBe(429);
  for (const stream of streams) stream.leave('close');
  await answered(calls);
  await nothingLeft();
}

/** The reserved bytes agree with the reservations, and no reservation of an ended request is left. */
async function placesAgree(): Promise<boolean> {
  const [members, bytes] = await Promise.all([
    stack.redis.client.zrange(redisKeys.reservations(MODEL), '0', '-1'),
    stack.redis.client.get(redisKeys.reservedBytes(MODEL)),
  ]);
  const sum = members.reduce((total, place) => total + Number(place.slice(place.indexOf(':') + 1)), 0);
  return Number(bytes) === sum && members.length <= WAITING - LEAVING;
}

/** Warnings and errors in the gateway's log. */
function complaints(): number {
  const lines = stack.gateways[0]?.output().split('\n') ?? [];
  return lines.filter((line) => /"level":"(warn|error)"/.test(line)).length;
}

const Pair = z.tuple([z.string(), z.string()]);
async function dumpFile(redis: Redis): Promise<string> {
  const [, folder] = Pair.parse(await redis.config('GET', 'dir'));
  return join(folder, 'dump.rdb');
}
const FAULTS: readonly (readonly [
  fault: string,
  begin: (redis: Redis) => Promise<unknown>,
  end: (redis: Redis) => Promise<unknown>,
])[] = [
  [
    'is full',
    // Less than it uses, so it stays full whatever ended requests free.
    async (redis) => redis.config('SET', 'maxmemory', '1'),
    async (redis) => redis.config('SET', 'maxmemory', '0'),
  ],
  [
    'cannot write its snapshots and refuses writes',
    async (redis) => {
      // A folder with the file's name stops every user, also root.
      await mkdir(await dumpFile(redis));
      await writeFile(join(await dumpFile(redis), 'in-the-way'), '');
      await redis.config('SET', 'save', '3600 1000000');
      await redis.bgsave();
      await eventually('the snapshot failed', async () =>
        (await redis.info('persistence')).includes('rdb_last_bgsave_status:err'),
      );
    },
    async (redis) => {
      await rm(await dumpFile(redis), { recursive: true });
      await redis.bgsave();
      await eventually('the snapshot is written', async () =>
        (await redis.info('persistence')).includes('rdb_last_bgsave_status:ok'),
      );
    },
  ],
];
test.each(FAULTS)(
  'Redis %s: new requests get 503 immediately, open ones end complete or with an error, the backlog drains afterwards',
  async (_fault, begin, end) => {
    const { redis, gateways } = stack;
    const before = complaints();
    const streams = await occupy(STREAMS, either(500, 120));
    const waiting = await queueUp(WAITING);
    const leaving = waiting.splice(0, LEAVING);
    try {
      await begin(redis.server);
      const until = performance.now() + OUTAGE_MS;
      const bodies = (await redis.client.keys('*:body:*')).length;
      let refused = 0;
      for (; performance.now() < until || refused < 11; refused += 1) {
        const { status, headers, tookMs } = await ask(refused).ended;
        expect(status).toBe(503);
        expect(Number(headers['retry-after'])).toBeGreaterThan(0);
        expect(tookMs).toBeLessThan(5_000);
        expect((await fetch(`${gateways[0]?.internalUrl ?? ''}/livez`)).status).toBe(200);
        leaving.pop()?.leave('close');
        await lasts(100);
      }
      expect((await redis.client.keys('*:body:*')).length).toBeLessThanOrEqual(bodies);
    } finally {
      await end(redis.server);
    }
    await eventually('reservations and bytes of the waiting requests agree', placesAgree);
    const endedAt = performance.now();
    const outcomes = await Promise.all(streams.map(({ ended }) => ended));
    const whole = outcomes.filter(tellsTheTruth).length;
    await answered(waiting);
    process.stdout.write(`whole ${whole} of ${STREAMS}, drained after ${performance.now() - endedAt} ms\n`);
    // One line for the queue; the others are about the open requests.
    expect(complaints() - before).toBeLessThan(6);
    await admitsAsManyAsBefore();
  },
  180_000,
);

test.each<[lost: string, remove: (queue: Queue<JobV1>, jobs: readonly Job<JobV1>[]) => Promise<unknown>]>([
  ['jobs that an operator removed', async (_, jobs) => Promise.all(jobs.map((job) => job.remove()))],
  ['C4: the list of waiting jobs, evicted', async (queue) => stack.redis.client.del(queue.toKey('prioritized'))],
])(
  '%s: their requests are put back within 5 s and answered',
  async (_, remove) => {
    const streams = await occupy(STREAMS, 4_000);
    const calls = await queueUp(20);
    const connection = stack.redis.server.duplicate();
    const queue = new Queue<JobV1>('text', { connection, prefix: redisKeys.queuePrefix(MODEL) });
    // A reservation precedes its job, and the queue may still contain jobs of requests that ended in an outage.
    const waitingJobs = async (): Promise<Job<JobV1>[]> => {
      const waiting = await stack.redis.client.zrange(redisKeys.reservations(MODEL), '0', '-1');
      const ids = new Set(waiting.map((place) => place.slice(0, place.indexOf(':'))));
      return (await queue.getPrioritized()).filter(({ data }) => ids.has(data.requestId));
    };
    const jobs = await eventually('the jobs of the waiting requests exist', async () => {
      const found = await waitingJobs();
      return found.length === 20 && found;
    });
    await remove(queue, jobs);
    await eventually('they wait again', async () => (await waitingJobs()).length === 20);
    await queue.close();
    connection.disconnect();
    for (const stream of streams) stream.leave('close');
    await answered(calls);
    await nothingLeft();
  },
  60_000,
);

test('Redis is emptied: waiting requests are answered, streams continue or end with an error, and none hangs', async () => {
  const streams = await occupy(STREAMS, 200);
  const calls = await queueUp(20);
  await stack.redis.client.flushall();
  const outcomes = await Promise.all(streams.map(({ ended }) => ended));
  const whole = outcomes.filter(tellsTheTruth).length;
  process.stdout.write(`whole ${whole} of ${STREAMS}\n`);
  await answered(calls);
  await nothingLeft();
  await admitsAsManyAsBefore();
}, 90_000);

test('stored bodies of waiting requests are lost: they are stored again, or an earlier pickup ends with an explicit error', async () => {
  const streams = await occupy(STREAMS, 4_000);
  const client = stack.redis.client;
  /** One question of each form, and the keys of the removed bodies. */
  const lose = async (): Promise<{ calls: Call[]; lost: string[] }> => {
    const before = new Set(await client.keys('*:body:*'));
    const calls = await queueUp(FORMS.length);
    const lost = (await client.keys('*:body:*')).filter((key) => !before.has(key));
    expect(await client.del(lost)).toBe(FORMS.length);
    return { calls, lost };
  };
  const taken = await lose();
  for (const stream of streams.splice(0, FORMS.length)) stream.leave('close');
  const refusals = await Promise.all(taken.calls.map(({ ended }) => ended));
  expect(refusals.map(({ status, isWhole }) => [status, isWhole])).toEqual([
    [502, true],
    [502, true],
    [424, true],
  ]);
  expect(refusals[2]?.headers['ms-azureml-model-error-statuscode']).toBe('502');

  streams.push(...(await occupy(FORMS.length, 4_000)));
  const { calls, lost } = await lose();
  await eventually('they are put back', async () => (await client.exists(lost)) === FORMS.length);
  for (const stream of streams) stream.leave('close');
  await answered(calls);
  await nothingLeft();
}, 60_000);
