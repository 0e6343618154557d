import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { ServiceClass } from '#contract/service-class';
import { Reservations, type Applicant, type Place } from '../../gateway/queue/reservations.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const LIMIT = 20;
let server: TestRedis;
let redis: Redis;
let reservations: Reservations;
let count = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await server.client.flushall();
  reservations = new Reservations(redis, { jobs: LIMIT, bytes: 1_000_000 });
});
afterEach(() => reservations.close());

interface Given {
  readonly keyId?: string;
  readonly isOneOfMany?: boolean;
  readonly isRetry?: boolean;
  readonly cost?: number;
  readonly class?: ServiceClass;
  readonly leftMs?: number;
  /** cost units a ms */
  readonly guess?: number;
}
type Tried = Place & { readonly applicant: Applicant };
async function send(body: string, given: Given = {}): Promise<Tried> {
  count += 1;
  const { keyId = 'a', isOneOfMany = false, isRetry = false, cost = 1, leftMs = 600_000, guess = 0.01 } = given;
  const share = { cost, weight: 1, caps: {}, class: given.class ?? 'default', isOneOfMany } as const;
  const applicant: Applicant = {
    model: 'm',
    kind: 'text',
    requestId: `g-${count}`,
    keyId,
    bytes: 10,
    share,
    fingerprint: () => `${keyId} ${body}`.replaceAll(' ', '_'),
    isRetry,
  };
  const terms = { leftMs, lifeMs: 120_000, bodyWithinMs: 0, guess };
  return { ...(await reservations.reserve(applicant, terms)), applicant };
}
async function fill(given: Given = {}, requests = LIMIT): Promise<Tried[]> {
  const places: Tried[] = [];
  for (let i = 0; i < requests; i += 1) places.push(await send(`filler ${count}`, given));
  return places;
}
const take = (place: Tried, waitedMs = 0): Promise<void> => reservations.release(place.applicant, place, waitedMs);

test('a refused request gets a turn of its own and the moment to come; a later one gets a later one', async () => {
  await fill();
  const [first, second] = [await send('one'), await send('two')];
  // 20 units wait, and 10 drain in a second; it comes half of the wait before its turn.
  expect([first.verdict, first.bookedMs]).toEqual(['jobs', 1_000]);
  expect([second.verdict, second.bookedMs]).toEqual(['jobs', 1_050]);
  expect(await server.client.zcard('{penstock:m}:bookings:text')).toBe(2);
});

test('a try before its moment is told the same moment; another call with the same body gets its own', async () => {
  await fill({ guess: 0.001 });
  const { bookedMs: first = 0 } = await send('same', { guess: 0.001 });
  const { bookedMs: early = 0 } = await send('same', { guess: 0.001, isRetry: true });
  expect(early).toBeLessThanOrEqual(first);
  const { bookedMs: other = 0 } = await send('same', { guess: 0.001 });
  expect(other).toBeGreaterThan(first);
  expect(await server.client.zcard('{penstock:m}:bookings:text')).toBe(2);
});

test('from its moment on a booked try is let in however full the queue is, with its turn, and once', async () => {
  await fill({ guess: 1 });
  const booked = await send('mine', { guess: 1 });
  expect(booked.verdict).toBe('jobs');
  const tries: Tried[] = [];
  await eventually('it is let in', async () => {
    const tried = await send('mine', { guess: 1, isRetry: true });
    tries.push(tried);
    return tried.verdict === 'ok';
  });
  expect(tries.at(-1)?.priority).toBe(LIMIT + 1);
  expect((await send('mine', { guess: 1, isRetry: true })).verdict).toBe('jobs');
  expect(await server.client.zcard('{penstock:m}:reservations')).toBe(LIMIT + 1);
});

test('open bookings count as places for all others, but engines never wait for a client that stays away', async () => {
  const waiting = await fill({ guess: 0.001 });
  for (let i = 0; i < LIMIT; i += 1) expect((await send(`booked ${i}`, { guess: 0.001 })).bookedMs).toBeGreaterThan(0);
  for (const place of waiting.slice(0, 10)) await take(place);
  expect((await send('other', { guess: 0.001 })).verdict).toBe('jobs');
  for (const place of waiting.slice(10)) await take(place);
  expect((await send('other', { guess: 0.001 })).verdict).toBe('ok');
});

test('a lapsed booking frees its place', async () => {
  await fill();
  await send('gone');
  const [member = ''] = await server.client.zrange('{penstock:m}:bookings:text', '0', '0');
  await server.client.zadd('{penstock:m}:bookings:text', 1, member);
  expect((await send('new')).bookedMs).toBeGreaterThan(0);
  for (const places of ['bookings', 'booked'])
    expect(await server.client.zrange(`{penstock:m}:${places}:text`, '0', '-1')).toEqual([
      expect.stringMatching(/^a_new \d+ 21 a$/),
    ]);
});

test('many callers that send the same bytes each have a place', async () => {
  await fill();
  for (let i = 0; i < 100; i += 1) expect((await send('same')).bookedMs).toBeGreaterThan(0);
  expect(await server.client.zcard('{penstock:m}:booked:text')).toBe(100);
  let letIn = 0;
  await eventually('all are let in', async () => {
    if ((await send('same', { isRetry: true })).verdict === 'ok') letIn += 1;
    return letIn === 100;
  });
  expect(await server.client.zcard('{penstock:m}:booked:text')).toBe(0);
});

test('what does not drain in a minute is not booked', async () => {
  await fill({ cost: 31 });
  const refused = await send('far', { cost: 31 });
  expect(refused.bookedMs).toBeUndefined();
  expect(refused.waitMs).toBe(62_000);
  const later = await send('further', { cost: 31 });
  expect([later.verdict, later.bookedMs]).toEqual(['jobs', undefined]);
  expect(await server.client.exists('{penstock:m}:bookings:text')).toBe(0);
});

test('without any pace nothing is booked', async () => {
  await fill({ guess: 0 });
  const refused = await send('one', { guess: 0 });
  expect([refused.verdict, refused.bookedMs, refused.waitMs]).toEqual(['jobs', undefined, undefined]);
});

test('a key that fills the queue leaves a tenth of it to keys that hold less than half as much', async () => {
  const heavy = { keyId: 'heavy', isOneOfMany: true };
  await fill(heavy, LIMIT - 2);
  expect((await send('more', heavy)).verdict).toBe('jobs');
  const light = { keyId: 'light', isOneOfMany: true };
  // The script finds the longest wait in the queue's own order.
  await server.client.zadd('{penstock:m}:text:prioritized', String((LIMIT - 1) * 2 ** 32), 'g-1-1');
  expect((await send('one', light)).verdict).toBe('ok');
  expect((await send('two', light)).verdict).toBe('ok');
});

test('a wait far beyond the deadline is refused with a booking, but only if the pace was measured', async () => {
  await fill({ guess: 0.001 }, 10);
  expect((await send('short', { guess: 0.001, leftMs: 2_000 })).verdict).toBe('ok');
  for (const place of await measured()) expect(place.verdict).toBe('ok');
  await fill({ cost: 100 }, 5);
  const late = await send('short', { leftMs: 700 });
  // It would find a place, and no time.
  expect([late.verdict, late.bookedMs]).toEqual(['late', undefined]);
  const early = await send('longer', { leftMs: 1_100 });
  expect([early.verdict, early.bookedMs !== undefined]).toEqual(['late', true]);
});

test('bookings that nobody uses delay no other request of their key', async () => {
  const waiting = await fill({ guess: 0.001 });
  for (let i = 0; i < 15; i += 1) expect((await send(`never ${i}`, { guess: 0.001 })).bookedMs).toBeGreaterThan(0);
  for (const place of waiting) await take(place);
  expect(await send('other', { guess: 0.001 })).toMatchObject({ verdict: 'ok', priority: LIMIT + 1 });
});

test('what leaves without being taken costs its key nothing, nor does a booking that lapses', async () => {
  const [long, one] = [await send('long', { cost: 1_000 }), await send('one')];
  await reservations.release(long.applicant, long);
  await reservations.release(one.applicant, one);
  await fill();
  expect((await send('never comes', { cost: 100 })).bookedMs).toBeGreaterThan(0);
  expect(Number(await server.client.hget('{penstock:m}:shares:text', 't:a'))).toBeLessThan(LIMIT + 3);
});

test('refusals of one key do not raise the limit, whatever their class, and leave bookings to others', async () => {
  const heavy = { keyId: 'heavy', isOneOfMany: true, cost: 100, guess: 1 };
  await fill(heavy, LIMIT - 2);
  await server.client.zadd('{penstock:m}:text:prioritized', String(1_900 * 2 ** 32), 'g-1-1');
  let letIn = 0;
  let booked = 0;
  for (let i = 0; i < 700; i += 1) {
    const { verdict, bookedMs } = await send(`tiny ${i}`, { ...heavy, cost: 0.1, class: 'flex' });
    if (verdict === 'ok') letIn += 1;
    else if (bookedMs !== undefined) booked += 1;
  }
  expect([letIn, booked]).toEqual([0, 700]);
  expect((await send('other', { keyId: 'other', isOneOfMany: true, guess: 1 })).verdict).toBe('ok');
});

test('moments of one key are a turn apart, however small its requests or large its weight', async () => {
  await measured();
  await fill({}, LIMIT);
  const moments: number[] = [];
  for (let i = 0; i < 40; i += 1) moments.push((await send(`tiny ${i}`, { cost: 0.001 })).bookedMs ?? Infinity);
  // A turn took 60 ms, and a try comes half of its wait before its turn.
  expect(moments.at(-1)).toBeGreaterThan((40 * 50) / 2);
});

test('the pace is what drained while something waited, and the estimate follows from it', async () => {
  const from = performance.now();
  await measured();
  const drainMs = (performance.now() - from) / 6;
  const waiting = await fill({}, 10);
  const { waitMs = 0 } = waiting.at(-1) ?? {};
  expect(waitMs).toBeGreaterThan(drainMs * 4);
  expect(waitMs).toBeLessThan(drainMs * 20);
});

/** Six requests of one unit are taken one after the other. */
async function measured(): Promise<Tried[]> {
  const places = await fill({}, 6);
  for (const place of places) {
    await new Promise((resolve) => setTimeout(resolve, 60));
    await take(place, 60);
  }
  return places;
}
