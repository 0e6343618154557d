import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { AdmissionOutcome } from '../../gateway/admission/outcome.ts';
import { Admission, type Candidate } from '../../gateway/admission/admission.ts';
import { HeldBody } from '../../gateway/held-body.ts';
import { Reservations } from '../../gateway/admission/reservations.ts';
import { eventually } from '../support/eventually.ts';
import { silentLog } from '../support/silent-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const MODEL = 'm';
let server: TestRedis;
let redis: Redis;
let outcomes: AdmissionOutcome[] = [];
let jobs = 0;
let lagMs = 0;

function admission(limits: { jobs: number; bytes: number }): Admission {
  return new Admission({
    redis,
    bodies: redis,
    reservations: new Reservations(redis, limits),
    lagMs: () => lagMs,
    onOutcome: (outcome) => outcomes.push(outcome),
    onJobAdded: () => {
      jobs += 1;
    },
    log: silentLog,
  });
}
function candidate(id: string, bytes = 10, leftMs = 60_000): Candidate {
  const job = {
    requestId: id,
    model: MODEL,
    kind: 'text',
    deadlineMs: leftMs,
    replica: 'g',
    keyId: 'anonymous',
  } as const;
  return {
    job: { ...job, path: '/v1/chat/completions' },
    body: new HeldBody([Buffer.alloc(bytes, 'p')]),
    leftMs,
  };
}
const keysLeft = async (): Promise<string[]> =>
  (await server.client.keys('*')).filter((key) => !/:(meta|id|events|pc|marker)$/.test(key));

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: 1, enableOfflineQueue: false });
  await new Promise((resolve) => redis.once('ready', resolve));
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await server.client.flushall();
  outcomes = [];
  jobs = 0;
  lagMs = 0;
});

test('an admitted request has a job without a word of the prompt, and a body that lapses', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  await gate.enqueue(candidate('g-1'));
  expect(await gate.depth(MODEL, 'text')).toBe(1);
  const job = await server.client.hgetall('{penstock:m}:text:g-1-1');
  expect(JSON.stringify(job)).not.toContain('pppp');
  expect(await server.client.pttl('{penstock:m}:body:g-1')).toBeGreaterThan(110_000);
  expect(outcomes).toEqual(['admitted']);
  expect(jobs).toBe(1);
});

test('past the bound on waiting requests: 429 with a time to wait, and nothing is written', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  await gate.enqueue(candidate('g-1'));
  await gate.enqueue(candidate('g-2'));
  const before = await keysLeft();
  await expect(gate.enqueue(candidate('g-3'))).rejects.toMatchObject({
    code: 'queue_full',
    status: 429,
    options: { retryAfterSeconds: expect.any(Number) },
  });
  expect((await keysLeft()).sort()).toEqual(before.sort());
  expect(outcomes.at(-1)).toBe('rejected_queue_jobs');
  expect(jobs).toBe(2);
});

test('past the bound on waiting bytes: refused; a claimed request gives its bytes back', async () => {
  const gate = admission({ jobs: 10, bytes: 100 });
  await gate.enqueue(candidate('g-1', 80));
  await expect(gate.enqueue(candidate('g-2', 30))).rejects.toMatchObject({ code: 'queue_full' });
  expect(outcomes.at(-1)).toBe('rejected_queue_bytes');
  gate.claimed(candidate('g-1', 80));
  await gate.enqueue(candidate('g-2', 30));
});

test('the places of a dead replica come back when they lapse', async () => {
  const reservations = new Reservations(redis, { jobs: 1, bytes: 1_000 });
  const reserve = async (requestId: string, lifeMs: number) =>
    (await reservations.reserve({ model: MODEL, kind: 'text', requestId, keyId: 'anonymous', bytes: 10 }, lifeMs))
      .verdict;
  expect(await reserve('dead-1', 1)).toBe('ok');
  await eventually('a free place', async () => (await reserve('g-1', 60_000)) === 'ok');
  expect(await server.client.get('{penstock:m}:reserved-bytes')).toBe('10');
});

test('a withdrawn request leaves no job, no body, no reservation', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  const one = candidate('g-1');
  await gate.enqueue(one);
  await gate.withdraw(one);
  expect(await keysLeft()).toEqual([]);
});

test('a replica that reads its replies too late takes on no more', async () => {
  lagMs = 2_000;
  await expect(admission({ jobs: 2, bytes: 1_000 }).enqueue(candidate('g-1'))).rejects.toMatchObject({
    code: 'queue_full',
  });
  expect(await keysLeft()).toEqual([]);
});

test('the same request added twice runs once', async () => {
  const gate = admission({ jobs: 5, bytes: 1_000 });
  await gate.enqueue(candidate('g-1'));
  await gate.enqueue(candidate('g-1'));
  expect(await gate.depth(MODEL, 'text')).toBe(1);
});
