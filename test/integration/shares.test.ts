import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { ServiceClass } from '#contract/service-class';
import { Reservations, type Applicant, type Place } from '../../gateway/queue/reservations.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const LIFE_MS = 60_000;
let server: TestRedis;
let redis: Redis;
let reservations: Reservations;
let count = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
  reservations = new Reservations(redis, { jobs: 10_000, bytes: 1_000_000 });
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => server.client.flushall());

interface Given {
  readonly weight?: number;
  readonly cost?: number;
  readonly caps?: { readonly waiting_jobs?: number; readonly waiting_bytes?: number };
  readonly bytes?: number;
  readonly lifeMs?: number;
  readonly class?: ServiceClass;
}
async function ask(keyId: string, given: Given = {}): Promise<Place & { readonly applicant: Applicant }> {
  count += 1;
  const { weight = 1, cost = 1, caps = {}, bytes = 10, lifeMs = LIFE_MS } = given;
  const share = { cost, weight, caps, class: given.class ?? 'default', isOneOfMany: true } as const;
  const [requestId, fingerprint] = [`g-${count}`, () => 'x'];
  const applicant: Applicant = {
    model: 'm',
    kind: 'text',
    requestId,
    keyId,
    bytes,
    share,
    fingerprint,
    isRetry: false,
  };
  const terms = { leftMs: 600_000, lifeMs, bodyWithinMs: 0, guess: 0 };
  return { ...(await reservations.reserve(applicant, terms)), applicant };
}
const take = async (place: Place & { readonly applicant: Applicant }): Promise<void> =>
  reservations.release(place.applicant, place, 0);
const priorities = async (keyId: string, times: number, given?: Given): Promise<number[]> => {
  const all: number[] = [];
  for (let i = 0; i < times; i += 1) all.push((await ask(keyId, given)).priority);
  return all;
};

test('a key with eight times the weight gets eight requests for each one of the other', async () => {
  expect(await priorities('heavy', 17, { weight: 8 })).toEqual([...Array(8).fill(1), ...Array(8).fill(2), 3]);
  expect(await priorities('light', 3)).toEqual([1, 2, 3]);
});

test('a request costs its key as much as it is long', async () => {
  expect(await priorities('long', 3, { cost: 20 })).toEqual([1, 21, 41]);
  expect(await priorities('short', 2)).toEqual([1, 2]);
});

test('an idle key is next with its next two requests, however many requests of another key wait', async () => {
  const waiting = [];
  for (let i = 0; i < 500; i += 1) waiting.push(await ask('flood'));
  for (const place of waiting.slice(0, 100)) await take(place);
  const two = await priorities('single', 2, { cost: 90 });
  // Those that were taken had 1 to 100.
  expect(Math.max(...two)).toBeLessThanOrEqual(100);
});

test('classes divide the share of their key 8 to 2 to 1, and leave the other keys theirs', async () => {
  const tags: { readonly from: string; readonly tag: number }[] = [];
  for (let i = 0; i < 40; i += 1) {
    for (const one of ['priority', 'default', 'flex'] as const)
      tags.push({ from: one, tag: Number((await ask('mixed', { class: one })).tag) });
    tags.push({ from: 'other', tag: Number((await ask('plain')).tag) });
  }
  tags.sort((a, b) => a.tag - b.tag);
  const first = tags.slice(0, 44).map(({ from }) => from);
  const of = (from: string): number => first.filter((one) => one === from).length;
  expect(of('other')).toBeGreaterThanOrEqual(21);
  expect(of('priority')).toBeGreaterThanOrEqual(14);
  expect(of('default')).toBeGreaterThanOrEqual(3);
  expect(of('flex')).toBeGreaterThanOrEqual(1);
});

test('a key that spreads its requests over classes gets no more than its share', async () => {
  type Waiting = Place & { readonly applicant: Applicant; readonly class?: ServiceClass };
  const queue: Waiting[] = [];
  for (let i = 0; i < 40; i += 1) queue.push(await ask('plain'));
  for (const one of ['priority', 'default', 'flex'] as const)
    queue.push({ ...(await ask('spread', { class: one })), class: one });
  const taken = { plain: 0, spread: 0 };
  const paused: { readonly at: number; readonly class: ServiceClass }[] = [];
  for (let step = 0; step < 400; step += 1) {
    for (const one of paused.splice(0))
      if (one.at > step) paused.push(one);
      else queue.push({ ...(await ask('spread', { class: one.class })), class: one.class });
    queue.sort((a, b) => a.priority - b.priority);
    const next = queue.shift();
    if (next === undefined) throw new Error('something always waits');
    await take(next);
    if (next.class === undefined) queue.push(await ask('plain'));
    else paused.push({ at: step + 3, class: next.class });
    taken[next.class === undefined ? 'plain' : 'spread'] += 1;
  }
  expect(taken.spread).toBeLessThan(205);
});

test('a request that left while waiting changes no order; an empty queue resets the shares', async () => {
  const [first, second] = [await ask('a', { cost: 50 }), await ask('a', { cost: 50 })];
  await reservations.release(second.applicant);
  expect((await ask('b')).priority).toBe(1);
  await take(first);
  expect((await ask('a')).priority).toBe(101);
  await server.client.del('{penstock:m}:reservations');
  expect((await ask('a')).priority).toBe(1);
});

test('a key at its cap is refused and nothing is written; other keys are served; an expired reservation is released', async () => {
  const caps = { waiting_jobs: 2, waiting_bytes: 100 };
  await ask('small', { caps, lifeMs: 1 });
  await eventually('it expired', async () => (await server.client.exists('{penstock:m}:reservations:small')) === 0);
  const one = await ask('small', { caps });
  await ask('small', { caps });
  const before = await server.client.zrange('{penstock:m}:reservations', '0', '-1');
  expect((await ask('small', { caps })).verdict).toBe('key_jobs');
  expect(await server.client.zrange('{penstock:m}:reservations', '0', '-1')).toEqual(before);
  expect((await ask('other')).verdict).toBe('ok');
  await take(one);
  expect((await ask('small', { caps, bytes: 95 })).verdict).toBe('key_bytes');
  expect((await ask('small', { caps, bytes: 85 })).verdict).toBe('ok');
});

test('a full Redis refuses the entire reservation, and the counters still agree', async () => {
  await ask('a', { caps: { waiting_jobs: 5 } });
  await server.client.config('SET', 'maxmemory', '1');
  await expect(ask('a', { caps: { waiting_jobs: 5 } })).rejects.toThrow('OOM');
  await server.client.config('SET', 'maxmemory', '0');
  expect(await server.client.zcard('{penstock:m}:reservations:a')).toBe(1);
  expect(await server.client.get('{penstock:m}:reserved-bytes')).toBe('10');
});

/** Adds a job of this cost to a real queue. */
async function enqueue(queue: Queue, keyId: string, cost: number): Promise<Place & { readonly applicant: Applicant }> {
  const place = await ask(keyId, { cost });
  await queue.add('text', {}, { jobId: place.applicant.requestId, priority: place.priority });
  return place;
}
const ids = async (queue: Queue): Promise<(string | undefined)[]> =>
  (await queue.getJobs('prioritized', 0, -1, true)).map(({ id }) => id);

test('numbers that grow too large are lowered, also in the queue, and the order stays', async () => {
  const queue = new Queue('text', { connection: redis, prefix: '{penstock:m}' });
  const a: (Place & { readonly applicant: Applicant })[] = [];
  for (let i = 0; i < 3; i += 1) a.push(await enqueue(queue, 'a', 600_000));
  for (const place of a.slice(0, 2)) await take(place);
  for (const { applicant } of a.slice(0, 2)) await queue.remove(applicant.requestId);
  const b = await enqueue(queue, 'b', 600_000);
  a.push(await enqueue(queue, 'a', 600_000));
  expect(await ids(queue)).toEqual([b, a[2], a[3]].map((place) => place?.applicant.requestId));
  const [first, second, third] = (await queue.getJobs('prioritized', 0, -1, true)).map(({ priority }) => priority);
  expect(first).toBe(1);
  // What is far away has a priority that is exact to a part in 100,000.
  expect(Math.abs((second ?? 0) - 600_001)).toBeLessThan(20);
  expect(third).toBeGreaterThan(1_000_000);
  await queue.close();
});

test('a backlog that is longer than the range of priorities keeps its order, and stays behind a light key', async () => {
  const queue = new Queue('text', { connection: redis, prefix: '{penstock:m}' });
  const heavy: (Place & { readonly applicant: Applicant })[] = [];
  for (let i = 0; i < 40; i += 1) heavy.push(await enqueue(queue, 'heavy', 300_000));
  for (let i = 0; i < 30; i += 1) {
    const light = await enqueue(queue, 'light', 100);
    const [first, second] = await ids(queue);
    expect([first, second]).toContain(light.applicant.requestId);
    await queue.remove(light.applicant.requestId);
    await take(light);
    const next = heavy[i];
    if (next === undefined) throw new Error('there are 40');
    await queue.remove(next.applicant.requestId);
    await take(next);
    expect(await ids(queue)).toEqual(heavy.slice(i + 1).map(({ applicant }) => applicant.requestId));
  }
  await queue.close();
});
