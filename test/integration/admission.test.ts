import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import type { AdmissionOutcome } from '../../gateway/queue/outcome.ts';
import { Admission, type Candidate } from '../../gateway/queue/admission.ts';
import { HeldBody } from '../../gateway/queue/held-body.ts';
import { Reservations, type Applicant, type Share } from '../../gateway/queue/reservations.ts';
import { eventually } from '../support/eventually.ts';
import { silentLog } from '../support/silent-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const MODEL = 'm';
const SHARE: Share = { cost: 1, weight: 1, caps: {}, class: 'default', isOneOfMany: false };
const TERMS = { leftMs: 60_000, lifeMs: 120_000, bodyWithinMs: 0, guess: 0 };
const applicant = (requestId: string): Applicant => ({
  model: MODEL,
  kind: 'text',
  requestId,
  keyId: 'anonymous',
  bytes: 10,
  share: SHARE,
  fingerprint: () => requestId,
  isRetry: false,
});
let server: TestRedis;
let redis: Redis;
let outcomes: AdmissionOutcome[] = [];
let jobs = 0;
let lagMs = 0;

function admission(limits: { jobs: number; bytes: number }, reservations = new Reservations(redis, limits)): Admission {
  return new Admission({
    redis,
    bodies: redis,
    reservations,
    lagMs: () => lagMs,
    slots: () => 0,
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
  } as const;
  return {
    job: { ...job, path: '/v1/chat/completions' },
    keyId: 'anonymous',
    share: SHARE,
    isRetry: false,
    body: new HeldBody([Buffer.alloc(bytes, 'p')]),
    leftMs,
  };
}
const keysLeft = async (): Promise<string[]> =>
  (await server.client.keys('*')).filter((key) => !/:(meta|id|events|pc|marker|shares:text)$/.test(key));

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

test('an admitted request has a job without a word of the prompt, and a body with a TTL', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  await gate.enqueue(candidate('g-1'));
  expect(await gate.depth(MODEL, 'text')).toBe(1);
  const job = await server.client.hgetall('{penstock:m}:text:g-1-1');
  expect(JSON.stringify(job)).not.toContain('pppp');
  expect(await server.client.pttl('{penstock:m}:body:g-1')).toBeGreaterThan(110_000);
  expect(outcomes).toEqual(['admitted']);
  expect(jobs).toBe(1);
});

test('above the limit of waiting requests: 429 with a time to wait, and nothing is written', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  await gate.enqueue(candidate('g-1'));
  await gate.enqueue(candidate('g-2'));
  const before = await keysLeft();
  await expect(gate.enqueue(candidate('g-3'))).rejects.toMatchObject({
    code: 'queue_full',
    status: 429,
  });
  expect((await keysLeft()).sort()).toEqual(before.sort());
  expect(outcomes.at(-1)).toBe('rejected_queue_jobs');
  expect(jobs).toBe(2);
});

test('above the limit of waiting bytes: refused; a claimed request releases its bytes', async () => {
  const gate = admission({ jobs: 10, bytes: 100 });
  await gate.enqueue(candidate('g-1', 80));
  await expect(gate.enqueue(candidate('g-2', 30))).rejects.toMatchObject({ code: 'queue_full' });
  expect(outcomes.at(-1)).toBe('rejected_queue_bytes');
  gate.claimed(candidate('g-1', 80));
  await gate.enqueue(candidate('g-2', 30));
});

test('H3: the reservations of a killed replica are released when its lease ends; those of a running one stay', async () => {
  const limits = { jobs: 2, bytes: 1_000 };
  const [dead, living, other] = [300, 300, 15_000].map((placeMs) => new Reservations(redis, limits, placeMs));
  const reserve = async (of: Reservations | undefined, requestId: string) =>
    (await of?.reserve(applicant(requestId), TERMS))?.verdict;
  expect(await reserve(dead, 'dead-1')).toBe('ok');
  expect(await reserve(living, 'living-1')).toBe('ok');
  expect(await reserve(other, 'other-1')).toBe('jobs');
  dead?.close();
  await eventually('a free reservation', async () => (await reserve(other, 'other-1')) === 'ok');
  // After twice its TTL it still exists.
  const [, at] = await server.client.zrange(redisKeys.reservations(MODEL), '0', '0', 'WITHSCORES');
  await eventually('the running one was renewed', async () => {
    const score = await server.client.zscore(redisKeys.reservations(MODEL), 'living-1:10');
    return Number(score) > Number(at) + 600;
  });
  expect(await reserve(other, 'other-2')).toBe('jobs');
  expect(await server.client.get('{penstock:m}:reserved-bytes')).toBe('20');
  living?.close();
  other?.close();
});

test('H3: reservations that a restart of Redis lost return with the next renewal', async () => {
  const reservations = new Reservations(redis, { jobs: 2, bytes: 1_000 }, 300);
  await reservations.reserve(applicant('g-1'), TERMS);
  await server.client.flushall();
  await eventually('it is back', async () => (await server.client.get('{penstock:m}:reserved-bytes')) === '10');
  reservations.close();
});

test('C1: a body that arrives after its client was refused is not stored, and no key is left', async () => {
  const limits = { jobs: 2, bytes: 1_000 };
  const late = new (class extends Reservations {
    override async reserve(...asked: Parameters<Reservations['reserve']>) {
      const place = await super.reserve(...asked);
      // As if its TTL had expired.
      await server.client.del(redisKeys.body(MODEL, 'g-1'));
      return place;
    }
  })(redis, limits);
  await expect(admission(limits, late).enqueue(candidate('g-1'))).rejects.toMatchObject({ code: 'queue_unavailable' });
  await eventually('nothing is left', async () => (await keysLeft()).length === 0);
});

test('H1: a request that a dispatcher took but did not claim is distinguished from a waiting one', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  const one = candidate('g-1');
  await gate.enqueue(one);
  expect(await gate.reconcile(one, 1)).toBe('waits');
  const worker = new Worker('text', undefined, { connection: server.client, prefix: redisKeys.queuePrefix(MODEL) });
  const job = await worker.getNextJob('somebody');
  expect(await gate.reconcile(one, 1)).toBe('taken 1');
  await job?.moveToCompleted(null, 'somebody', false);
  expect(await gate.reconcile(one, 1)).toBe('finished');
  await worker.close();
});

test('a withdrawn request leaves no job, no body, no reservation', async () => {
  const gate = admission({ jobs: 2, bytes: 1_000 });
  const one = candidate('g-1');
  await gate.enqueue(one);
  await gate.withdraw(one);
  expect(await keysLeft()).toEqual([]);
});

test('a replica that reads its replies too late admits no more requests', async () => {
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
