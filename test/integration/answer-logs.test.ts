import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { LAST_ENTRY, logPlace, ownerName, seamId } from '#contract/answer-log';
import { decodeFrames, type Frame, type FrameType } from '#contract/frame';
import type { JobV1, Token } from '#contract/job';
import { loggedEntry } from '#contract/logged-entry';
import { redisKeys } from '#contract/redis-keys';
import { AnswerLogs } from '../../worker-launcher/dispatch/answer-logs.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { silentLog } from '../support/silent-log.ts';

const MODEL = 'm';
const ID = 'resp_1';
const OWNER = `${redisKeys.ownersPrefix(MODEL)}g1`;
let server: TestRedis;
let redis: Redis;
let superseded: Token[];
let logs: AnswerLogs;
/** copies by gateway: place, and texts of its frames */
let copied: string[];
let retained: string[];

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await redis.flushall();
  await redis.hset(redisKeys.answer(MODEL, ID), { key: 'k', state: 'queued', owner: 'g1', n: 1, epoch: 1 });
  await redis.xadd(redisKeys.answerLog(MODEL, ID), '0-1', 'j', '{}');
  await redis.xadd(OWNER, '*', 's', '');
  [superseded, copied, retained] = [[], [], []];
  logs = new AnswerLogs(redis, 'd1', silentLog, {
    superseded: (_job, token) => superseded.push(token),
    full: () => {},
    copies: {
      retain: (replica) => {
        retained.push(replica);
        return () => retained.splice(retained.indexOf(replica), 1);
      },
      send: (replica, sent) => {
        const { id, frames } = loggedEntry(sent);
        copied.push(
          `${replica} ${sent.requestId} ${placeOf(id)} ${frames.map(({ payload }) => payload.toString()).join()}`,
        );
      },
      isBehind: (replica) => replica === '{slow}:m',
    },
  });
});

const job = (epoch: number): JobV1 => ({
  v: 1,
  requestId: ID,
  epoch,
  model: MODEL,
  kind: 'text',
  deadlineMs: 1_000,
  replica: 'g1',
  path: '/v1/responses',
  durable: { logBytes: 1_000 },
});
const frame = (token: Token, type: FrameType, text = ''): Frame => ({
  type,
  requestId: ID,
  ...token,
  payload: Buffer.from(text),
});
const open = (epoch: number, attempt: number) => {
  const token = { epoch, attempt };
  const line = logs.open(job(epoch), token);
  return {
    claim: () => line.claim(frame(token, 'claimed')),
    send: (text: string) => line.send(frame(token, 'data', text)),
    over: () => line.over(),
    token,
  };
};
/** Epoch, attempt and number of an entry. */
const placeOf = (id: string): string => {
  const place = logPlace(id);
  return place === undefined ? id : `${place.epoch}-${place.attempt} ${place.n}`;
};
/** Places of the log's entries, and the texts of their frames. */
const log = async () =>
  (await redis.xrangeBuffer(redisKeys.answerLog(MODEL, ID), '-', '+')).slice(1).map(([id, fields]) => {
    const [name, bytes = Buffer.alloc(0)] = fields;
    const frames = name?.toString() === 'b' ? decodeFrames(bytes) : [];
    return [placeOf(id.toString()), ...frames.map(({ type, payload }) => `${type} ${payload.toString()}`.trim())];
  });

test('an attempt claims, and its frames of one event-loop run are one entry, in the log and for an older owner', async () => {
  const first = open(1, 1);
  expect(await first.claim()).toBe(true);
  first.send('a');
  first.send('b');
  await logs.close();
  first.send('c');
  await logs.close();
  expect(await log()).toEqual([
    ['1-1 0', 'claimed'],
    ['1-1 1', 'data a', 'data b'],
    ['1-1 2', 'data c'],
  ]);
  expect(await redis.hgetall(redisKeys.answer(MODEL, ID))).toMatchObject({ state: 'running', token: '1-1' });
  const given = (await redis.xrange(OWNER, '-', '+'))
    .slice(1)
    .map(([, fields]) => fields.filter((_f, i) => i % 2 === 0));
  const named = given.map(([stamp, name = '']) => [stamp, name.split(':')[0], placeOf(name.split(':')[1] ?? '')]);
  expect(named).toEqual([0, 1, 2].map((n) => ['s', ID, `1-1 ${n}`]));
});

test('an owner gets copies of what the log has, also a new owner, unless it reads too late', async () => {
  const record = redisKeys.answer(MODEL, ID);
  await redis.hset(record, 'owner', ownerName('g2'));
  const first = open(1, 1);
  expect(await first.claim()).toBe(true);
  first.send('a');
  first.send('b');
  await logs.close();
  await redis.hset(record, 'owner', ownerName('g3'));
  let sent = 0;
  await eventually('the new owner gets copies', async () => {
    first.send(`c${(sent += 1)}`);
    await logs.close();
    return copied.at(-1)?.startsWith('{g3}:m ');
  });
  expect(copied[0]).toBe(`{g2}:m ${ID} 1-1 1 a,b`);
  expect(copied).toHaveLength(1 + sent);
  expect(retained).toEqual(['{g3}:m']);
  first.over();
  expect(retained).toEqual([]);
  expect((await redis.xrange(OWNER, '-', '+')).length).toBe(1);

  await redis.hset(record, 'owner', ownerName('slow'));
  const [, again] = [copied.splice(0), open(1, 1)];
  await redis.del(redisKeys.answerLog(MODEL, ID));
  await redis.xadd(redisKeys.answerLog(MODEL, ID), '0-1', 'j', '{}');
  expect(await again.claim()).toBe(true);
  again.send('d');
  await logs.close();
  expect([copied, (await log()).at(-1)]).toEqual([[], ['1-1 1', 'data d']]);
});

test('an attempt that is superseded gives its owner no copy of what its log refused', async () => {
  await redis.hset(redisKeys.answer(MODEL, ID), 'owner', ownerName('g2'));
  const [first, second] = [open(1, 1), open(1, 2)];
  expect([await first.claim(), await second.claim()]).toEqual([true, true]);
  first.send('late');
  await logs.close();
  expect([superseded, copied]).toEqual([[first.token], []]);
});

test('an attempt that delivered nothing is superseded; one that delivered something is not', async () => {
  const [first, second, third] = [open(1, 1), open(1, 2), open(1, 3)];
  expect(await first.claim()).toBe(true);
  expect(await second.claim()).toBe(true);
  // A command that was sent twice.
  expect(await second.claim()).toBe(true);
  first.send('late');
  second.send('a');
  await eventually('the first one must end', () => superseded.length > 0);
  expect(superseded).toEqual([first.token]);
  expect(await third.claim()).toBe(false);
  expect((await log()).map(([id]) => id)).toEqual(['1-1 0', '1-2 0', '1-2 1']);
});

test('after a seam the former epoch writes nothing, and after the end no epoch does', async () => {
  const [first, second] = [open(1, 1), open(2, 1)];
  expect(await first.claim()).toBe(true);
  await redis.xadd(redisKeys.answerLog(MODEL, ID), seamId(2), 'j', '{"kind":"again"}');
  await redis.hset(redisKeys.answer(MODEL, ID), 'epoch', 2);
  first.send('late');
  await logs.close();
  expect(await first.claim()).toBe(false);
  expect(await second.claim()).toBe(true);
  await redis.xadd(redisKeys.answerLog(MODEL, ID), LAST_ENTRY, 'j', '{"state":"cancelled"}');
  await redis.hset(redisKeys.answer(MODEL, ID), 'state', 'cancelled');
  second.send('late');
  await logs.close();
  expect(superseded).toEqual([first.token, second.token]);
  expect(await open(2, 2).claim()).toBe(false);
});

test('an answer that was deleted takes no attempt and no frame', async () => {
  const first = open(1, 1);
  expect(await first.claim()).toBe(true);
  await redis.del(redisKeys.answer(MODEL, ID), redisKeys.answerLog(MODEL, ID));
  first.send('late');
  await logs.close();
  expect(superseded).toEqual([first.token]);
  expect(await open(1, 2).claim()).toBe(false);
  expect(await redis.exists(redisKeys.answer(MODEL, ID), redisKeys.answerLog(MODEL, ID))).toBe(0);
});

test('a frame that Redis refuses because it is full is written once there is room', async () => {
  const first = open(1, 1);
  expect(await first.claim()).toBe(true);
  await redis.config('SET', 'maxmemory', '1');
  first.send('a');
  await eventually('the write is refused', () => logs.stuckMs > 0);
  first.send('b');
  await redis.config('SET', 'maxmemory', '0');
  await logs.close();
  expect((await log()).slice(1)).toEqual([
    ['1-1 1', 'data a'],
    ['1-1 2', 'data b'],
  ]);
  expect(superseded).toEqual([]);
});
