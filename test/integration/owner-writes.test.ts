import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { entryId } from '#contract/answer-log';
import { redisKeys } from '#contract/redis-keys';
import { monotonic } from '#runtime/clock';
import { AnswerStore, type Owned } from '../../gateway/durable/answer-store.ts';
import { OwnerWrites } from '../../gateway/durable/owner-writes.ts';
import type { KeptRequest } from '../../gateway/durable/record.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { silentLog } from '../support/silent-log.ts';

const MODEL = 'm';
const ID = 'post_1';
const LOG = redisKeys.answerLog(MODEL, ID);
const LAST = entryId({ epoch: 1, attempt: 1, random: 3 }, 2);
const END = { state: 'completed', json: '', isTold: true, last: LAST } as const;
const kept: KeptRequest = {
  model: MODEL,
  kind: 'text',
  path: '/v1/chat/completions',
  keyId: 'k',
  share: { cost: 1, weight: 1, caps: {}, class: 'default', isOneOfMany: false },
  deadlineMs: 1_000,
  choices: 1,
  messagesParam: 'messages',
  longestAnswer: 10,
  created: 1,
  shown: {},
  keptMs: 10_000,
  post: { stream: true, passUsage: false, headers: {}, graceMs: null },
};
const form = { queuedEvents: () => '', renderStreamFailure: () => '', renderState: () => '' };
let server: TestRedis;
let redis: Redis;
let store: AnswerStore;
let owned: Owned;
let pointed = 0;
let writes: OwnerWrites;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
  store = new AnswerStore(redis, 'g1');
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await redis.flushall();
  const created = await store.create(ID, kept, { open: 10, bytes: 1e9, keyBytes: 1e9 });
  if (typeof created === 'string') throw new Error(created);
  owned = created;
  pointed = 0;
  const point = (): Promise<void> => {
    pointed += 1;
    return Promise.resolve();
  };
  const again = { deadlineAt: monotonic() + 60_000, point };
  writes = new OwnerWrites({ store, form, clock: monotonic, log: silentLog }, owned, kept, again);
  await redis.xadd(LOG, LAST, 'b', '');
});

const record = () => store.read(MODEL, ID);

test('the end that Redis lost is written again when the log is whole again', async () => {
  expect(await writes.end(END)).toBe(true);
  expect(await writes.restore()).toBe(true);
  expect(pointed).toBe(0);
  await redis.flushall();
  const restored = writes.restore();
  await eventually('the record is there', async () => (await redis.exists(LOG)) === 1);
  expect(await record()).toMatchObject({ state: 'queued', owner: 'g1' });
  await redis.xadd(LOG, LAST, 'b', '');
  expect(await restored).toBe(true);
  expect(await record()).toMatchObject({ state: 'completed' });
  expect(pointed).toBe(1);
}, 20_000);

test('an answer that was complete fails if its log stays incomplete', async () => {
  expect(await writes.end(END)).toBe(true);
  await redis.flushall();
  expect(await writes.restore()).toBe(true);
  expect(await record()).toMatchObject({ state: 'failed', answer: expect.stringContaining('worker_lost') });
}, 20_000);

test('a write that another Redis refuses, because it lacks the record, comes after the record', async () => {
  await redis.flushall();
  const ended = writes.end({ ...END, last: '0-0' });
  expect(await writes.restore()).toBe(true);
  expect(await ended).toBe(true);
  expect(await record()).toMatchObject({ state: 'completed' });
});
