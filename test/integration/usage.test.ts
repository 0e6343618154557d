import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { redisKeys } from '#contract/redis-keys';
import { booking, dayOf, NOTHING_USED, type AttemptUsage, type Booked } from '#contract/usage';
import { UsageBook } from '../../gateway/usage/usage-book.ts';
import { silentLog } from '../support/silent-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const DAYS = 90;
const DAY_MS = 86_400_000;
let server: TestRedis;
let book: UsageBook;
beforeAll(async () => {
  server = await startRedis();
  book = new UsageBook(server.server, ['m'], DAYS, silentLog);
});
afterEach(async () => {
  await server.client.flushall();
});
afterAll(async () => {
  await book.close();
  await server[Symbol.asyncDispose]();
});

const request = (requestId: string, keyId = 'team'): Booked => ({
  requestId,
  model: 'm',
  deadlineMs: 600_000,
  usage: { keyId, days: DAYS, imageTokens: 0, deliveredTokens: 0 },
});
const ended = (of: Booked, attempt: string, used: Partial<AttemptUsage>): Promise<number> =>
  server.client.penstockBook(...booking(of, attempt, 'ended', { ...NOTHING_USED, ...used }, true));
const repeated = (of: Booked, attempt: string): Promise<number> =>
  server.client.penstockBook(...booking(of, attempt, 'repeated', NOTHING_USED, true));
/** The counts that are not zero. */
const used = async (key = 'team'): Promise<Record<string, unknown>> => {
  const [row] = await book.rows({ key });
  return Object.fromEntries(Object.entries(row ?? {}).filter(([, value]) => typeof value === 'number' && value !== 0));
};

test('an attempt counts once, however often it is sent, and a request once for all its attempts', async () => {
  const of = request('r1');
  for (let time = 0; time < 3; time += 1) await ended(of, '1-1', { partial: 4, slotMs: 90.4 });
  await ended(of, '2-1', { prompt: 10, picture: 6, answer: 20, slotMs: 200 });
  await ended(request('r2'), '1-1', { prompt: 1, answer: 2, slotMs: 5 });
  expect(await used()).toEqual({
    requests: 2,
    prompt_tokens: 11,
    picture_tokens: 6,
    answer_tokens: 22,
    partial_tokens: 4,
    slot_ms: 295,
  });
});

test.each([
  ['after it was booked', true],
  ['before it was booked', false],
])('an attempt whose answer is dropped counts as repeated, %s', async (_when, isBooked) => {
  const of = request('r1');
  const counts = { prompt: 10, picture: 6, answer: 20, partial: 3, slotMs: 100 };
  if (isBooked) await ended(of, '1-1', counts);
  for (let time = 0; time < 2; time += 1) await repeated(of, '1-1');
  for (let time = 0; time < 2; time += 1) await ended(of, '1-1', counts);
  await ended(of, '2-1', { prompt: 10, picture: 6, answer: 20, slotMs: 100 });
  expect(await used()).toEqual({
    requests: 1,
    prompt_tokens: 10,
    picture_tokens: 6,
    answer_tokens: 20,
    slot_ms: 200,
    repeated_attempts: 1,
    repeated_prompt_tokens: 10,
    repeated_tokens: 23,
  });
});

test('the gateway books the attempt of a lost dispatcher; a dispatcher that was only slow does not book it again', async () => {
  const of = request('r1');
  book.lost(of, { token: { epoch: 1, attempt: 1 }, slotMs: 50, tokens: 7 });
  await ended(of, '1-1', { prompt: 3, answer: 9, slotMs: 80 });
  expect(await used()).toEqual({ requests: 1, partial_tokens: 7, slot_ms: 50 });
});

test('a request that failed while it waited is a refusal, or a request if a dispatcher had just taken it', async () => {
  const counts = { partial: 3, slotMs: 100 };
  const fails = (requestId: string): void => book.leftQueue({ requestId, model: 'm' }, 'team', 'failed');
  fails('waits');
  fails('waits');
  fails('taken after');
  await ended(request('taken after'), '1-1', counts);
  await ended(request('taken before'), '1-1', counts);
  fails('taken before');
  await ended(request('taken after'), '1-1', counts);
  expect(await used()).toEqual({ requests: 2, refusals: 1, partial_tokens: 6, slot_ms: 200 });
});

test('a client that left while it waited counts once, also if a dispatcher took its job meanwhile', async () => {
  book.leftQueue({ requestId: 'r1', model: 'm' }, 'team', 'left');
  await ended(request('r1'), '1-1', { slotMs: 3 });
  expect(await used()).toEqual({ requests: 1, slot_ms: 3 });
});

test('refusals are added up and written together; they wait while Redis refuses writes', async () => {
  for (let time = 0; time < 5; time += 1) book.refused('m', 'team');
  book.refused('unknown', 'other');
  await server.client.config('SET', 'maxmemory', '1');
  await book.write();
  await server.client.config('SET', 'maxmemory', '0');
  await book.write();
  await book.write();
  expect(await used()).toEqual({ refusals: 5 });
  expect(await book.rows({ model: 'unknown' })).toMatchObject([{ key: 'other', refusals: 1 }]);
});

test('a row is small, and lapses with its day', async () => {
  const keyId = 'k'.repeat(64);
  for (let n = 0; n < 50; n += 1)
    await ended(request(`r${n}`, keyId), '1-1', { prompt: 1e9, picture: 1e9, answer: 1e9, partial: 1e9, slotMs: 1e9 });
  await repeated(request('r0', keyId), '2-1');
  const key = redisKeys.usage('m', dayOf(Date.now()), keyId);
  expect(await server.client.memory('USAGE', key)).toBeLessThan(1_000);
  for (const name of [key, redisKeys.usageKeys('m', dayOf(Date.now()))]) {
    const leftMs = await server.client.pttl(name);
    expect(leftMs).toBeGreaterThan(DAYS * DAY_MS);
    expect(leftMs).toBeLessThanOrEqual((DAYS + 1) * DAY_MS);
  }
});

test('rows can be filtered by key, model and day; those of a model that left the catalog are found', async () => {
  await server.client.sadd(redisKeys.usageModels(), 'former');
  const [today, before] = [dayOf(Date.now()), dayOf(Date.now() - 3 * DAY_MS)];
  for (const [model, day, key] of [
    ['m', today, 'b'],
    ['m', today, 'a'],
    ['former', today, 'a'],
    ['m', before, 'a'],
    ['m', dayOf(Date.now() - (DAYS + 2) * DAY_MS), 'a'],
  ] as const) {
    await server.client.sadd(redisKeys.usageKeys(model, day), key);
    await server.client.hset(redisKeys.usage(model, day, key), 'requests', 1, 'of_a_later_release', 5);
  }
  const rows = async (filter: Parameters<UsageBook['rows']>[0]) =>
    (await book.rows(filter)).map(({ day, key, model }) => `${day === today ? 'today' : 'before'} ${key} ${model}`);
  expect(await rows({})).toEqual(['before a m', 'today a former', 'today a m', 'today b m']);
  expect(await rows({ key: 'a', since: today })).toEqual(['today a former', 'today a m']);
  expect(await rows({ model: 'former' })).toEqual(['today a former']);
});

test('a note that a worker wrote moves no counts of another key or model', async () => {
  const victim = redisKeys.usage('other', dayOf(Date.now()), 'team');
  await server.client.hset(victim, 'prompt_tokens', 1_000);
  const of = request('r9');
  await server.client.hset(redisKeys.usageNotes('m', 'r9'), '1-1', `900 0 0 0 ${victim}`);
  await repeated(of, '1-1');
  expect(await server.client.hgetall(victim)).toEqual({ prompt_tokens: '1000' });
});
