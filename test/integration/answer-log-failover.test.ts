import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { RedisClient } from '#runtime/redis-client';
import { LAST_ENTRY, logPlace, seamId } from '#contract/answer-log';
import { decodeFrames, type FrameType } from '#contract/frame';
import type { JobV1, Token } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { connectRedis } from '#runtime/redis';
import { AnswerLogs } from '../../worker-launcher/dispatch/answer-logs.ts';
import { eventually } from '../support/eventually.ts';
import { startRedisPair, type RedisPair } from '../support/redis-pair.ts';
import { silentLog } from '../support/silent-log.ts';

const MODEL = 'm';
let pair: RedisPair;
let connections: RedisClient[];
beforeEach(async () => {
  pair = await startRedisPair();
  connections = [];
});
afterEach(async () => {
  for (const redis of connections) redis.disconnect();
  await pair[Symbol.asyncDispose]();
});

const create = (id: string, epoch = 1): Promise<unknown> =>
  pair.client
    .multi()
    .hset(redisKeys.answer(MODEL, id), { key: 'k', state: 'queued', owner: 'g1', n: 1, epoch })
    .xadd(redisKeys.answerLog(MODEL, id), '0-1', 'j', '{}')
    .exec();
const stored = (): Promise<unknown> =>
  eventually('the replica has all', async () => (await pair.client.wait(1, 100)) === 1);
function dispatcher(name: string) {
  const superseded: string[] = [];
  const redis = connectRedis({ url: pair.url }, 'once', name, silentLog);
  connections.push(redis);
  const logs = new AnswerLogs(redis, name, silentLog, {
    superseded: ({ requestId }: JobV1) => superseded.push(requestId),
    full: () => {},
    copies: { retain: () => () => {}, send: () => {}, isBehind: () => false },
  });
  const open = (requestId: string, { epoch, attempt }: Token = { epoch: 1, attempt: 1 }) => {
    const of = { model: MODEL, kind: 'text', path: '/v1/responses', deadlineMs: 1_000, replica: 'g1' } as const;
    const line = logs.open({ v: 1, requestId, epoch, ...of, durable: { logBytes: 1_000_000 } }, { epoch, attempt });
    const frame = (type: FrameType, text = '') => {
      return { type, requestId, epoch, attempt, payload: Buffer.from(text) };
    };
    return {
      claim: () => line.claim(frame('claimed')),
      send: async (text: string) => {
        line.send(frame('data', text));
        await logs.close();
      },
      end: async () => {
        line.send(frame('end'));
        line.over();
        await logs.close();
      },
      over: () => line.over(),
    };
  };
  return { open, superseded, logs };
}
/** Numbers of a log's entries, and the texts of their frames. */
const log = async (id: string) =>
  (await pair.client.xrangeBuffer(redisKeys.answerLog(MODEL, id), '-', '+')).slice(1).map(([entry, fields]) => {
    const [name, bytes = Buffer.alloc(0)] = fields;
    const frames = name?.toString() === 'b' ? decodeFrames(bytes) : [];
    const texts = frames.map(({ type, payload }) => (type === 'data' ? payload.toString() : type));
    return `${logPlace(entry.toString())?.n ?? 'last'} ${texts.join(' ')}`;
  });
const token = async (id: string) => pair.client.hget(redisKeys.answer(MODEL, id), 'token');

test('entries that only the dead primary had are written again, as they were, before the next ones', async () => {
  const { open, superseded } = dispatcher('d1');
  await create('a');
  await create('b');
  const [a, b] = [open('a'), open('b')];
  expect(await a.claim()).toBe(true);
  await a.send('1');
  await stored();
  await pair.part();
  const ids = async (id: string) =>
    (await pair.client.xrange(redisKeys.answerLog(MODEL, id), '-', '+')).map(([entry]) => entry);
  for (const text of ['2', '3']) await a.send(text);
  // Its claim is lost too, and its attempt is over.
  expect(await b.claim()).toBe(true);
  await b.send('x');
  await b.end();
  const before = [await ids('a'), await ids('b')];
  await pair.failOver();
  await a.send('4');
  expect(await log('a')).toEqual(['0 claimed', '1 1', '2 2', '3 3', '4 4']);
  await eventually('the other one is restored', async () => (await log('b')).length === 3);
  expect(await log('b')).toEqual(['0 claimed', '1 x', '2 end']);
  expect([(await ids('a')).slice(0, -1), await ids('b')]).toEqual(before);
  expect([await token('a'), await token('b')]).toEqual(['1-1', '1-1']);
  expect(superseded).toEqual([]);
}, 30_000);

test('an answer that is gone, or lacks the seam before its epoch, is written when its owner has restored it', async () => {
  const { open, superseded } = dispatcher('d1');
  await create('b');
  await stored();
  await pair.part();
  await create('a');
  await pair.client.xadd(redisKeys.answerLog(MODEL, 'b'), seamId(2), 'j', '{"kind":"again"}');
  await pair.client.hset(redisKeys.answer(MODEL, 'b'), 'epoch', 2);
  await create('c');
  const [a, b, c] = [open('a'), open('b', { epoch: 2, attempt: 1 }), open('c')];
  for (const one of [a, b, c]) {
    expect(await one.claim()).toBe(true);
    await one.send('1');
  }
  await pair.failOver();
  // They wait, and others do not.
  await create('d');
  const other = open('d');
  expect(await other.claim()).toBe(true);
  for (const one of [a, b, c, other]) await one.send('2');
  expect(await log('d')).toEqual(['0 claimed', '1 2']);
  expect([await log('a'), await log('b')]).toEqual([[], []]);
  await create('a');
  await pair.client.xadd(redisKeys.answerLog(MODEL, 'b'), seamId(2), 'j', '{"kind":"again"}');
  await pair.client.hset(redisKeys.answer(MODEL, 'b'), 'epoch', 2);
  await eventually('both are restored', async () => (await log('a')).length === 3 && (await log('b')).length === 4);
  expect(await log('a')).toEqual(['0 claimed', '1 1', '2 2']);
  expect(await log('b')).toEqual(['0 ', '0 claimed', '1 1', '2 2']);
  await eventually('the deleted one ends', () => superseded.length > 0, 20_000);
  expect(superseded).toEqual(['c']);
}, 60_000);

test('an attempt ends if another one has its answer, or the answer is over', async () => {
  const { open, superseded } = dispatcher('d1');
  await create('a');
  await create('b');
  await stored();
  await pair.part();
  const [a, b] = [open('a'), open('b')];
  for (const one of [a, b]) {
    expect(await one.claim()).toBe(true);
    await one.send('1');
  }
  // The promoted one has no trace of the first pickup, so another dispatcher got the same number.
  const replica = pair.replica.client;
  const other = `${logPlace(await firstOf('a'))?.random === 1 ? 2 : 1}`;
  await replica.xadd(redisKeys.answerLog(MODEL, 'a'), `${2 ** 32 + 2 ** 16 + Number(other)}-0`, 'b', '');
  await replica.hset(redisKeys.answer(MODEL, 'a'), { state: 'running', token: '1-1', dispatcher: 'd2' });
  await replica.xadd(redisKeys.answerLog(MODEL, 'b'), LAST_ENTRY, 'j', '{"state":"cancelled"}');
  await replica.hset(redisKeys.answer(MODEL, 'b'), 'state', 'cancelled');
  await pair.failOver();
  await eventually('both end', () => superseded.length === 2);
  expect([await log('a'), await log('b')]).toEqual([['0 '], ['last ']]);
}, 30_000);
const firstOf = async (id: string): Promise<string> =>
  (await pair.client.xrange(redisKeys.answerLog(MODEL, id), '(0-1', '+'))[0]?.[0] ?? '';

test('another dispatcher that gets the job again leaves the answer to the attempt that has it', async () => {
  const [one, two] = [dispatcher('d1'), dispatcher('d2')];
  await create('a');
  await stored();
  await pair.part();
  const a = one.open('a');
  expect(await a.claim()).toBe(true);
  await pair.failOver();
  const again = two.open('a').claim();
  expect(await again).toBe(false);
  await a.send('1');
  expect(await log('a')).toEqual(['0 claimed', '1 1']);
}, 30_000);

test('an attempt that was cancelled, which Redis lost, does not leave its owner waiting', async () => {
  const { open } = dispatcher('d1');
  await create('a');
  const a = open('a');
  expect(await a.claim()).toBe(true);
  await a.send('1');
  await stored();
  await pair.part();
  await a.send('2');
  a.over();
  await pair.failOver();
  await eventually('its end is written', async () => (await log('a')).length === 4);
  expect(await log('a')).toEqual(['0 claimed', '1 1', '2 2', '3 error']);
}, 30_000);

test('an attempt ends in an error if entries that are no longer kept are lost, even all of its', async () => {
  const { open, superseded } = dispatcher('d1');
  await create('a');
  await create('b');
  const [a, b] = [open('a'), open('b')];
  for (const one of [a, b]) expect(await one.claim()).toBe(true);
  await a.send('1');
  await stored();
  await pair.part();
  await a.send('2');
  // More than is kept of all attempts together.
  for (let n = 0; n < 5; n += 1) await b.send('x'.repeat(8 * 1024 * 1024));
  await pair.failOver();
  await eventually('both end', () => superseded.length === 2);
  await eventually('its error is written', async () => (await log('a')).length === 3);
  expect(await log('a')).toEqual(['0 claimed', '1 1', '3 error']);
}, 30_000);
