import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Failure } from '../../gateway/failure.ts';
import { ANYONE, type Caller } from '../../gateway/keys/caller.ts';
import { DayBudget } from '../../gateway/limits/day-budget.ts';
import { Limits, type Charge, type Standing } from '../../gateway/limits/limits.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const DAY_MS = 86_400_000;
let server: TestRedis;
const connections: Redis[] = [];
let replicas: Limits[];
let refused: string[] = [];
/** another one in each test, because replicas remember what runs */
let id = '';
let count = 0;

beforeAll(async () => {
  server = await startRedis();
  for (let n = 0; n < 3; n += 1) connections.push(new Redis(server.url, { maxRetriesPerRequest: 0 }));
  replicas = connections.map(
    (redis, n) => new Limits({ redis, replica: `g${n}`, onOutcome: (outcome) => refused.push(outcome) }),
  );
});
afterAll(async () => {
  for (const replica of replicas) replica.close();
  for (const redis of connections) redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  refused = [];
  count += 1;
  id = `oslo-${count}`;
});

const keyOf = (limits: Caller['limits']): Caller => ({ ...ANYONE, id, limits });

interface Answer {
  readonly standings: readonly Standing[];
  readonly charge: Charge | undefined;
  readonly refusal: Failure | undefined;
}
async function ask(caller: Caller, tokens = 10, replica = 0): Promise<Answer> {
  const answer = await replicas[replica]?.charge(caller, tokens);
  if (answer === undefined) throw new Error('no such replica');
  return { charge: undefined, refusal: undefined, ...answer };
}
/** Requests of all replicas at the same time. @returns how many were let in */
async function burst(caller: Caller, count: number, tokens?: number): Promise<number> {
  const asked = Array.from({ length: count }, (_, n) => ask(caller, tokens, n % 3));
  return (await Promise.all(asked)).filter(({ charge }) => charge !== undefined).length;
}
const stored = (limit: string): string => `penstock:limit:${limit}:${id}`;
const counted = (limit: string) => server.client.get(stored(limit));
const day = () => server.client.hgetall(stored('tokens_per_day'));

test('three replicas together let in exactly what each limit allows, and count nothing that they refuse', async () => {
  expect(await burst(keyOf({ requests_per_minute: 40 }), 120)).toBe(40);
  expect(await counted('requests_per_minute')).toBe('40');
  expect(await burst(keyOf({ tokens_per_minute: 995 }), 300, 10)).toBe(99);
  expect(await counted('tokens_per_minute')).toBe('990');
  expect(await burst(keyOf({ tokens_per_day: 1_005 }), 300, 10)).toBe(100);
  expect(new Set(refused)).toEqual(
    new Set(['limited_requests_per_minute', 'limited_tokens_per_minute', 'limited_tokens_per_day']),
  );
  for (const limit of ['requests_per_minute', 'tokens_per_minute'])
    expect(await server.client.pttl(stored(limit))).toBeLessThanOrEqual(60_000);
});

test('a request that one limit refuses counts in none of the others', async () => {
  const caller = keyOf({ requests_per_minute: 100, tokens_per_minute: 500, tokens_per_day: 45 });
  expect(await burst(caller, 30, 10)).toBe(4);
  await eventually('the others are given back', async () => (await counted('requests_per_minute')) === '4');
  expect(await counted('tokens_per_minute')).toBe('40');
});

test('the estimate is corrected by what was used, down and up, above a limit too', async () => {
  const caller = keyOf({ tokens_per_minute: 100, tokens_per_day: 100 });
  const [small, large] = [await ask(caller, 40), await ask(caller, 40, 1)];
  small.charge?.settle(5);
  large.charge?.settle(120);
  await eventually('both are corrected', async () => (await counted('tokens_per_minute')) === '125');
  const { refusal, standings } = await ask(caller, 1, 2);
  expect(refusal?.options).toMatchObject({ refusal: 'tokens_per_day', retryAfterMs: 'never' });
  expect(standings.map(({ remaining }) => remaining)).toEqual([0, 0]);
  expect(await day()).toMatchObject({ used: '125' });
});

test('what is given back leaves nothing; what ends after its minute does not change the next one', async () => {
  const caller = keyOf({ requests_per_minute: 1, tokens_per_minute: 100, tokens_per_day: 100 });
  (await ask(caller)).charge?.giveBack();
  await eventually('it is given back', async () => (await ask(caller)).charge !== undefined);
  const late = await ask(keyOf({ tokens_per_minute: 100, tokens_per_day: 100 }));
  await server.client.del(stored('tokens_per_minute'));
  late.charge?.settle(3);
  await eventually('the day has it', async () => (await day())['used'] === '3');
  expect(await counted('tokens_per_minute')).toBeNull();
});

test('a refusal names the limit, the numbers and the time; above a minute, and for ever, it forbids a retry', async () => {
  const minute = keyOf({ requests_per_minute: 1 });
  await ask(minute);
  const soon = (await ask(minute)).refusal;
  expect(soon).toMatchObject({ code: 'rate_limit_exceeded', status: 429 });
  expect(soon?.options).toMatchObject({ refusal: 'requests_per_minute', asked: 1, allowed: 1 });
  expect(soon?.options.retryAfterMs).toBeGreaterThan(50_000);
  expect(soon?.options.retryAfterMs).toBeLessThanOrEqual(60_000);
  expect(soon?.message).toMatch(/^the limit requests_per_minute of the key oslo-\d+ is 1; try again in \d+ s$/);
  const never = (await ask(keyOf({ tokens_per_minute: 9 }))).refusal;
  expect(never?.options).toMatchObject({ refusal: 'tokens_per_minute', asked: 10, allowed: 9, retryAfterMs: 'never' });
  expect(never?.message).toContain('no later try can succeed');
  const { standings } = await ask(keyOf({ tokens_per_day: 1_000 }));
  expect(standings).toMatchObject([{ limit: 'tokens_per_day', allowed: 1_000, remaining: 990 }]);
  expect(standings[0]?.resetMs).toBeLessThanOrEqual(DAY_MS);
});

test('a changed limit counts what was used before', async () => {
  expect(await burst(keyOf({ requests_per_minute: 5 }), 10)).toBe(5);
  expect(await burst(keyOf({ requests_per_minute: 8 }), 10)).toBe(3);
});

test('a replica that is killed costs the key nothing of its day; a living one keeps its requests counted', async () => {
  const LEASE_MS = 1_500;
  const [first, second] = connections;
  if (first === undefined || second === undefined) throw new Error('no connections');
  const [killed, living] = [new DayBudget(first, 'g-killed', LEASE_MS), new DayBudget(second, 'g-living', LEASE_MS)];
  const caller = keyOf({ tokens_per_day: 100 });
  await killed.take(caller, 60);
  killed.close();
  await living.take(caller, 30);
  expect(await living.take(caller, 20)).toMatchObject({ isAllowed: false, used: 90 });
  await eventually('the killed one’s share lapses', async () => (await living.take(caller, 70))?.isAllowed === true);
  // Nothing but its own renewals kept the first estimate of the living one.
  expect(await living.take(caller, 1)).toMatchObject({ isAllowed: false, used: 100 });
  living.end(id, 30, 30);
  living.end(id, 70, 4);
  await eventually('the day is booked', async () => (await day())['used'] === '34');
  expect(Object.keys(await day()).toSorted()).toEqual(['day', 'used']);
  expect(await server.client.pttl(stored('tokens_per_day'))).toBeLessThanOrEqual(DAY_MS + LEASE_MS);
  living.close();
});

test('yesterday’s use does not count', async () => {
  const yesterday = Math.floor(Date.now() / DAY_MS) - 1;
  await server.client.hset(stored('tokens_per_day'), { day: yesterday, used: 1_000 });
  expect((await ask(keyOf({ tokens_per_day: 100 }))).charge).toBeDefined();
});

test('without Redis nothing is let in, and used tokens are booked when it is back', async () => {
  await using away = await startRedis();
  const redis = new Redis(away.url, { maxRetriesPerRequest: 0, enableOfflineQueue: false, retryStrategy: () => 20 });
  redis.on('error', () => {});
  const limits = new DayBudget(redis, 'g', 300);
  const caller = keyOf({ requests_per_minute: 5, tokens_per_day: 100 });
  await eventually('it is connected', () => redis.status === 'ready');
  await limits.take(caller, 50);
  await away.client.config('SET', 'maxmemory', '1');
  limits.end(id, 50, 20);
  const closed = new Limits({ redis, replica: 'g2', onOutcome: () => {} });
  await expect(closed.charge(caller, 10)).rejects.toMatchObject({ code: 'queue_unavailable', status: 503 });
  await away.client.config('SET', 'maxmemory', '0');
  await eventually('they are booked', async () => (await away.client.hget(stored('tokens_per_day'), 'used')) === '20');
  closed.close();
  limits.close();
  redis.disconnect();
});
