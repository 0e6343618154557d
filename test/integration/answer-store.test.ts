import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { entryId, fenceId, seamId } from '#contract/answer-log';
import { redisKeys } from '#contract/redis-keys';
import { AnswerStore, type Owned } from '../../gateway/durable/answer-store.ts';
import type { KeptRequest } from '../../gateway/durable/record.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const MODEL = 'm';
/** bytes that an answer of ten tokens may need */
const ONE = 4_096 + 10 * 300;
const ROOMY = { open: 100, bytes: 100 * ONE, keyBytes: 100 * ONE };
const KEPT_MS = 10_000;
let server: TestRedis;
let redis: Redis;
let [first, second]: AnswerStore[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
  [first, second] = [new AnswerStore(redis, 'g1'), new AnswerStore(redis, 'g2')];
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => redis.flushall());

const store = (which: AnswerStore | undefined = first): AnswerStore => {
  if (which === undefined) throw new Error('no store');
  return which;
};
const kept = (keyId = 'k'): KeptRequest => ({
  model: MODEL,
  kind: 'text',
  path: '/v1/responses',
  keyId,
  share: { cost: 1, weight: 1, caps: {}, class: 'default', isOneOfMany: false },
  deadlineMs: 1_000,
  choices: 1,
  messagesParam: 'input',
  longestAnswer: 10,
  created: 1,
  shown: { background: true },
  keptMs: KEPT_MS,
});
const create = async (id: string, keyId = 'k'): Promise<Owned> => {
  const owned = await store().create(id, kept(keyId), ROOMY);
  if (typeof owned === 'string') throw new Error(owned);
  return owned;
};
const lapse = (id: string): Promise<unknown> => redis.zadd(redisKeys.openAnswers(MODEL), 0, id);

test('answers above a limit are not kept, and leave nothing', async () => {
  expect(await store().create('a', kept(), { ...ROOMY, bytes: 2 * ONE })).toMatchObject({ id: 'a', n: 1 });
  expect(await store().create('b', kept(), { ...ROOMY, open: 1 })).toBe('open');
  expect(await store().create('b', kept(), { ...ROOMY, keyBytes: 2 * ONE - 1 })).toBe('keyBytes');
  expect(await store().create('b', kept('other'), { ...ROOMY, keyBytes: 2 * ONE - 1 })).toMatchObject({ id: 'b' });
  expect(await store().create('c', kept('third'), { ...ROOMY, bytes: 3 * ONE - 1 })).toBe('bytes');
  expect(await redis.keys('*:c')).toEqual([]);
  expect(await redis.hgetall(redisKeys.keptSizes(MODEL))).toEqual({
    a: `${ONE} k`,
    b: `${ONE} other`,
    '*': String(2 * ONE),
    '* k': String(ONE),
    '* other': String(ONE),
  });
});

test('a packed answer counts its own size; a deleted one, and one whose time is over, nothing', async () => {
  const owned = await create('a');
  await create('b');
  await store().finish(owned, { state: 'completed' }, '{}', kept(), { isTold: true });
  await store().logs.archive(owned, kept(), '{}');
  const sizes = await redis.hgetall(redisKeys.keptSizes(MODEL));
  expect(Number.parseInt(sizes['a'] ?? '', 10)).toBeLessThan(ONE);
  expect(Number(sizes['*'])).toBe(Number.parseInt(sizes['a'] ?? '', 10) + ONE);
  await store().remove(MODEL, 'a');
  expect(await redis.hget(redisKeys.keptSizes(MODEL), '*')).toBe(String(ONE));
  await redis.zadd(redisKeys.keptLapses(MODEL), 0, 'b');
  await create('c');
  expect(await redis.hgetall(redisKeys.keptSizes(MODEL))).toEqual({
    c: `${ONE} k`,
    '*': String(ONE),
    '* k': String(ONE),
  });
  await store().remove(MODEL, 'c');
  await store().remove(MODEL, 'b');
  expect(await redis.keys('*')).toEqual([]);
});

test('everything that an answer leaves has an expiry', async () => {
  const owned = await create('a');
  await store().finish(owned, { state: 'completed' }, '{}', kept(), { isTold: true });
  await store().logs.archive(owned, kept(), '{}');
  for (const key of await redis.keys('*')) {
    expect([key, await redis.pttl(key)]).not.toEqual([key, -1]);
    expect(await redis.pttl(key)).toBeLessThanOrEqual(KEPT_MS + 1_000 + 60_000);
  }
});

test('after an adoption the former owner changes nothing', async () => {
  const owned = await create('a');
  expect(await store(second).adopt(MODEL, false)).toEqual([]);
  await lapse('a');
  const [adopted] = await store(second).adopt(MODEL, false);
  // A gateway that lost the reply finds what it owns.
  expect(await store(second).adopt(MODEL, true)).toEqual([adopted]);
  expect(adopted).toEqual({ model: MODEL, id: 'a', n: 2 });
  expect(await store().renew(MODEL, [owned])).toEqual(['a']);
  expect(await store().seam(owned, 2, { kind: 'again' })).toBe(false);
  expect(await store().finish(owned, { state: 'failed' }, '{}', kept(), { isTold: true })).toBe(false);
  if (adopted === undefined) throw new Error('not adopted');
  expect(await store(second).renew(MODEL, [adopted])).toEqual([]);
  expect(await store(second).finish(adopted, { state: 'completed' }, '{"a":1}', kept(), { isTold: true })).toBe(true);
  expect(await store().read(MODEL, 'a', 'k')).toMatchObject({ state: 'completed', owner: 'g2', answer: '{"a":1}' });
  expect(await store().read(MODEL, 'a', 'other')).toBeUndefined();
});

test('an answer begins again only while no reader has any of it', async () => {
  const owned = await create('a');
  expect(await store().seam(owned, 2, { kind: 'restart' })).toBe(true);
  // A command that was sent twice.
  expect(await store().seam(owned, 2, { kind: 'restart' })).toBe(true);
  await store().show(MODEL, 'a');
  expect(await store().seam(owned, 3, { kind: 'restart' })).toBe(false);
  expect(await store().seam(owned, 3, { kind: 'again' }, seamId(2))).toBe(true);
  expect((await store().logs.entries(MODEL, 'a')).map(({ note }) => note)).toEqual([
    '{}',
    '{}',
    '{"kind":"restart"}',
    '{}',
    '{"kind":"again"}',
  ]);
});

test('neither a seam nor a complete end follows a log that lacks what its owner took', async () => {
  const owned = await create('a');
  const taken = entryId({ epoch: 1, attempt: 1, random: 9 }, 1);
  const whole = { isTold: true, last: taken };
  // The last one is another attempt with the same number, whose random part is greater.
  for (const [random, n] of [
    [9, 0],
    [10, 3],
  ] as const) {
    await redis.xadd(redisKeys.answerLog(MODEL, 'a'), entryId({ epoch: 1, attempt: 1, random }, n), 'b', '');
    expect(await store().fence(owned, 2, taken)).toBe('behind');
    expect(await store().seam(owned, 2, { kind: 'again' }, taken)).toBe('behind');
    expect(await store().finish(owned, { state: 'completed' }, '{}', kept(), whole)).toBe('behind');
  }
  expect(await store().read(MODEL, 'a')).toMatchObject({ state: 'queued', epoch: 1 });
});

test('a seam follows the last entry that the owner took, and no attempt writes between them', async () => {
  const owned = await create('a');
  const log = redisKeys.answerLog(MODEL, 'a');
  const [taken = '', late = '', refused = ''] = [0, 1, 2].map((n) => entryId({ epoch: 1, attempt: 1, random: 9 }, n));
  for (const id of [taken, late]) await redis.xadd(log, id, 'b', '');
  // Twice, like a command that was sent twice.
  for (let time = 0; time < 2; time += 1) expect(await store().fence(owned, 2, taken)).toBe(true);
  await expect(redis.xadd(log, refused, 'b', '')).rejects.toThrow('equal or smaller');
  expect(await store().seam(owned, 2, { kind: 'again' }, taken)).toBe(false);
  for (let time = 0; time < 2; time += 1) expect(await store().seam(owned, 2, { kind: 'again' }, late)).toBe(true);
  expect(await store().fence(owned, 2, late)).toBe(true);
  // Readers compare it with what they have.
  expect((await redis.xrange(log, '-', '+')).slice(-2)).toEqual([
    [fenceId(2), ['j', '{}', 'a', late]],
    [seamId(2), ['j', '{"kind":"again"}', 'a', fenceId(2)]],
  ]);
});

test('an owner writes again what Redis lost of its answer', async () => {
  const owned = await create('a');
  const before = await redis.hgetall(redisKeys.answer(MODEL, 'a'));
  await redis.flushall();
  expect(await store().restore(owned, kept())).toBe(true);
  expect(await redis.hgetall(redisKeys.answer(MODEL, 'a'))).toEqual(before);
  expect((await store().logs.entries(MODEL, 'a')).map(({ id }) => id)).toEqual(['0-1']);
  expect(await redis.pttl(redisKeys.answerLog(MODEL, 'a'))).toBeGreaterThan(KEPT_MS);
  expect(await redis.zcard(redisKeys.openAnswers(MODEL))).toBe(1);
  // It was adopted, and Redis lost that.
  expect(await store(second).restore({ ...owned, n: 2 }, kept())).toBe(true);
  expect(await store().read(MODEL, 'a')).toMatchObject({ owner: 'g2', n: 2 });
  expect(await store().restore(owned, kept())).toBe(false);
  // Another gateway adopted it on the new server, so two have the same number.
  expect(await store().restore({ ...owned, n: 2 }, kept())).toBe(false);
  expect(await store().renew(MODEL, [{ ...owned, n: 2 }])).toEqual(['a']);
  expect(await store().finish({ ...owned, n: 2 }, { state: 'failed' }, '{}', kept(), { isTold: true })).toBe(false);
  expect(await store(second).finish({ ...owned, n: 2 }, { state: 'failed' }, '{}', kept(), { isTold: true })).toBe(
    true,
  );
  expect(await store(second).restore({ ...owned, n: 2 }, kept())).toBe(false);
});

test('a cancelled answer is over for good, and its owner is told', async () => {
  const owned = await create('a');
  const stream = `${redisKeys.ownersPrefix(MODEL)}g1`;
  await redis.xadd(stream, '*', 's', '');
  expect(await store(second).cancel('a', kept(), '{"c":1}')).toBe('queued');
  expect(await store(second).cancel('a', kept(), '{"c":2}')).toBe('cancelled');
  expect(await store().finish(owned, { state: 'completed' }, '{}', kept(), { isTold: true })).toBe(false);
  expect(await store().read(MODEL, 'a')).toMatchObject({ state: 'cancelled', answer: '{"c":1}' });
  expect((await redis.xrange(stream, '-', '+')).at(-1)?.[1]).toEqual(['s', '', 'a:', '']);
  await lapse('a');
  expect(await store(second).adopt(MODEL, false)).toEqual([]);
  expect(await redis.exists(redisKeys.answerArchive(MODEL, 'a'))).toBe(1);
});

const hooked = (): KeptRequest => ({ ...kept(), webhook: true });
const due = (): Promise<string[]> => redis.zrange(redisKeys.webhooksDue(MODEL), '0', '-1');

test('the one end of an answer is a webhook event, if its key had a webhook and its caller knows the id', async () => {
  const [owned, untold] = [await create('a'), await create('b')];
  expect(await store().finish(owned, { state: 'incomplete' }, '{}', hooked(), { isTold: true })).toBe(true);
  expect(await store().finish(owned, { state: 'completed' }, '{}', hooked(), { isTold: true })).toBe(false);
  expect(await store(second).cancel('a', hooked(), '{}')).toBe('incomplete');
  expect(await store().finish(untold, { state: 'failed' }, '{}', hooked(), { isTold: false })).toBe(true);
  await create('c');
  expect(await store(second).cancel('c', hooked(), '{}')).toBe('queued');
  await create('d');
  await store(second).cancel('d', kept(), '{}');
  expect(await due()).toEqual(['a incomplete k', 'c cancelled k']);
});
