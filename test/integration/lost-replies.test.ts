import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { RedisClient } from '#runtime/redis-client';
import { entryId } from '#contract/answer-log';
import { redisKeys } from '#contract/redis-keys';
import { connectRedis } from '#runtime/redis';
import { AnswerStore } from '../../gateway/durable/answer-store.ts';
import type { KeptRequest } from '../../gateway/durable/record.ts';
import { Idempotency } from '../../gateway/queue/idempotency.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { silentLog } from '../support/silent-log.ts';

/** Redis runs a command, and the connection breaks before the reply: ioredis sends the command again on the next one. */
const MODEL = 'm';
const LOG = redisKeys.answerLog(MODEL, 'a');
const PLENTY = { open: 100, bytes: 1e9, keyBytes: 1e9 };
const kept: KeptRequest = {
  model: MODEL,
  kind: 'text',
  path: '/v1/responses',
  keyId: 'k',
  share: { cost: 1, weight: 1, caps: {}, class: 'default', isOneOfMany: false },
  deadlineMs: 1_000,
  choices: 1,
  messagesParam: 'input',
  longestAnswer: 10,
  created: 1,
  shown: { background: true },
  keptMs: 10_000,
};
let server: TestRedis;
let redis: RedisClient;
let store: AnswerStore;
let idempotency: Idempotency;
/** the next reply, which is not to a PING, breaks its connection instead */
let isLost = false;
const losing = createServer((client) => {
  const upstream = connect(Number(new URL(server.url).port), '127.0.0.1');
  const sockets: Socket[] = [client, upstream];
  for (const socket of sockets)
    socket
      .on('error', () => {})
      .on('close', () => {
        for (const one of sockets) one.destroy();
      });
  client.pipe(upstream);
  upstream.on('data', (reply) => {
    if (!isLost || reply.toString() === '+PONG\r\n') return void client.write(reply);
    isLost = false;
    client.destroy();
  });
});

beforeAll(async () => {
  server = await startRedis();
  losing.listen(0, '127.0.0.1');
  await once(losing, 'listening');
  const { port } = losing.address() as AddressInfo;
  redis = connectRedis({ url: `redis://127.0.0.1:${port}` }, 'fail_fast', 'test', silentLog);
  await once(redis, 'ready');
  store = new AnswerStore(redis, 'g1');
  idempotency = new Idempotency(redis, server.server, 10_000);
});
afterAll(async () => {
  redis.disconnect();
  losing.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => server.client.flushall());

/** Runs a command twice, since its first reply is lost. */
async function unheard<T>(command: () => Promise<T>): Promise<T> {
  isLost = true;
  const result = await command();
  expect(isLost).toBe(false);
  return result;
}

test('what an owner writes of its answer is written once', async () => {
  const owned = await unheard(() => store.create('a', kept, PLENTY));
  if (typeof owned === 'string') throw new Error(owned);
  expect(owned).toEqual({ model: MODEL, id: 'a', n: 1 });
  const sum = await server.client.hget(redisKeys.keptSizes(MODEL), '*');
  expect(await server.client.hget(redisKeys.keptSizes(MODEL), 'a')).toBe(`${sum} k`);
  expect(await unheard(() => store.restore(owned, kept))).toBe(true);
  const last = entryId({ epoch: 1, attempt: 1, random: 3 }, 0);
  await server.client.xadd(LOG, last, 'b', '');
  expect(await unheard(() => store.fence(owned, 2, last))).toBe(true);
  expect(await unheard(() => store.seam(owned, 2, { kind: 'again' }, last))).toBe(true);
  const end = { isTold: true };
  const hooked = { ...kept, webhook: true } as const;
  expect(await unheard(() => store.finish(owned, { state: 'completed' }, '{}', hooked, end))).toBe(true);
  expect(await store.finish(owned, { state: 'failed' }, '{}', hooked, end)).toBe(false);
  expect(await server.client.xlen(LOG)).toBe(5);
  expect(await server.client.zcard(redisKeys.webhooksDue(MODEL))).toBe(1);
});

test('the request that begins under an idempotency key is the first', async () => {
  const begin = () => idempotency.begin(['k', '/', 'key'], Buffer.from('x'), [], () => Promise.resolve(false));
  const begun = await unheard(begin);
  expect(begun.kind).toBe('first');
  expect((await begin()).kind).toBe('running');
  if (begun.kind === 'first') await unheard(() => begun.turn.point({ model: MODEL, id: 'a' }, 10_000));
  expect(await begin()).toEqual({ kind: 'durable', answer: { model: MODEL, id: 'a' } });
});
