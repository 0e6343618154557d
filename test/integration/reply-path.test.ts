import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Frame } from '#contract/frame';
import { replyAddress } from '#contract/model-names';
import { redisKeys } from '#contract/redis-keys';
import { monotonic } from '#runtime/clock';
import { Relay } from '../../gateway/relay/relay.ts';
import { ReplyReader } from '../../gateway/relay/reply-reader.ts';
import { Publisher } from '../../worker-launcher/dispatch/publisher.ts';
import { encodeFrame } from '../support/encode-frame.ts';
import { eventually } from '../support/eventually.ts';
import { silentLog } from '../support/silent-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const keyOf = (replica: string): string => redisKeys.replies(replyAddress(replica, 'm'));
const NO_EVENTS = { gone: () => {}, behind: () => {} };
let server: TestRedis;
const connections: Redis[] = [];
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  for (const connection of connections) connection.disconnect();
  await server[Symbol.asyncDispose]();
});
function connect(): Redis {
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  connections.push(redis);
  return redis;
}

async function startReader(replica: string, commands = connect()) {
  const seen: string[] = [];
  const reader = new ReplyReader({
    reader: connect(),
    commands,
    replica,
    models: ['m'],
    clock: monotonic,
    log: silentLog,
    events: {
      frames: (_model, _dispatcher, frames) => {
        for (const { type, payload } of frames) seen.push(type === 'data' ? payload.toString() : type);
      },
      gap: (_model, dispatcher) => seen.push(`gap ${dispatcher}`),
      leaseLost: () => seen.push('lease lost'),
    },
  });
  await reader.start();
  return { reader, seen };
}
const data = (text: string): Frame => ({
  type: 'data',
  requestId: 'r-1',
  epoch: 1,
  attempt: 1,
  payload: Buffer.from(text),
});

test('chunks arrive complete and in order, those of one event-loop run in one entry', async () => {
  const { reader, seen } = await startReader('g-order');
  const publisher = new Publisher(connect(), 'd-order', silentLog, NO_EVENTS);
  const before = await server.client.xlen(keyOf('g-order'));
  for (let i = 0; i < 50; i += 1) publisher.send(replyAddress('g-order', 'm'), data(String(i)));
  await eventually('all chunks', () => seen.length === 50);
  expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
  expect((await server.client.xlen(keyOf('g-order'))) - before).toBeLessThanOrEqual(1);
  await publisher.close();
  await reader.stop();
});

test('N12: after reading, no entry of an answer is left, and the empty stream is still the lease', async () => {
  const key = keyOf('g-trim');
  const { reader, seen } = await startReader('g-trim');
  const publisher = new Publisher(connect(), 'd-trim', silentLog, NO_EVENTS);
  publisher.send(replyAddress('g-trim', 'm'), data('a'));
  await eventually('the chunk', () => seen.length === 1);
  await eventually('trimmed', async () => (await server.client.xlen(key)) === 0);
  expect(await server.client.pttl(key)).toBeGreaterThan(5_000);
  publisher.send(replyAddress('g-trim', 'm'), data('canary'));
  await eventually('the next chunk', () => seen.length === 2);
  await eventually('trimmed again', async () => (await server.client.xlen(key)) === 0);
  expect((await server.client.dumpBuffer(key)).includes('canary')).toBe(false);
  await publisher.close();
  await reader.stop();
  expect(await server.client.exists(keyOf('g-trim'))).toBe(0);
});

test('N12: an entry of the same millisecond as the last one read is not trimmed before it was read', async () => {
  const key = keyOf('g-same');
  const { reader, seen } = await startReader('g-same');
  const at = Date.now() + 1_000;
  for (let n = 0; n < 40; n += 1) {
    const entry = encodeFrame(data(String(n)));
    await server.client.xadd(key, `${at}-${n}`, 's', `d:${n + 1}`, 'b', entry);
    if (n % 10 === 0) await eventually('trimmed to the last', async () => (await server.client.xlen(key)) === 0);
  }
  await eventually('the last', () => seen.includes('39'));
  expect(seen).toEqual(Array.from({ length: 40 }, (_, n) => String(n)));
  await reader.stop();
});

test('N12: a failed trim is repeated, although no new entry arrives', async () => {
  const key = keyOf('g-again');
  const commands = new Redis(server.url, { enableOfflineQueue: false, maxRetriesPerRequest: 1 });
  connections.push(commands);
  await new Promise<void>((resolve) => commands.once('ready', resolve));
  const { reader, seen } = await startReader('g-again', commands);
  await eventually('trimmed', async () => (await server.client.xlen(key)) === 0);
  const xtrim = commands.xtrim.bind(commands);
  let refused = 0;
  Object.assign(commands, {
    xtrim: (...args: Parameters<typeof xtrim>) =>
      xtrim(...args).catch((cause: unknown) => {
        refused += 1;
        throw cause;
      }),
  });
  commands.disconnect();
  const publisher = new Publisher(connect(), 'd-again', silentLog, NO_EVENTS);
  publisher.send(replyAddress('g-again', 'm'), data('canary'));
  await eventually('read, and not trimmed', () => seen.length === 1 && refused > 0);
  await commands.connect();
  await eventually('trimmed', async () => (await server.client.xlen(key)) === 0);
  await publisher.close();
  await reader.stop();
});

test('an entry that was sent twice is read once; a missing one is detected', async () => {
  const { reader, seen } = await startReader('g-seq');
  const key = keyOf('g-seq');
  const entry = (text: string): Buffer => encodeFrame(data(text));
  await server.client.xadd(key, '*', 's', 'd:1', 'b', entry('a'));
  await server.client.xadd(key, '*', 's', 'd:1', 'b', entry('a'));
  await server.client.xadd(key, '*', 's', 'd:2', 'b', entry('b'));
  await server.client.xadd(key, '*', 's', 'd:4', 'b', entry('d'));
  await eventually('the last entry', () => seen.includes('d'));
  expect(seen).toEqual(['a', 'b', 'gap d', 'd']);
  await reader.stop();
});

/** A frame of a type that only newer dispatchers know. */
function unknownFrame(): Buffer {
  const bytes = encodeFrame(data('what no one knows'));
  bytes.writeUInt8(99, 0);
  return bytes;
}

test('H2: an unknown frame type does not affect the frames beside it; an unreadable entry is a gap', async () => {
  const { reader, seen } = await startReader('g-types');
  const key = keyOf('g-types');
  const entry = (text: string): Buffer => encodeFrame(data(text));
  await server.client.xadd(key, '*', 's', 'd:1', 'b', Buffer.concat([entry('a'), unknownFrame(), entry('b')]));
  await server.client.xadd(key, '*', 's', 'd:2', 'b', unknownFrame());
  await server.client.xadd(key, '*', 'later', 'x', 's', 'd:3', 'b', entry('c'));
  await server.client.xadd(key, '*', 's', 'd:4', 'b', Buffer.concat([entry('lost'), entry('cut').subarray(0, -1)]));
  await server.client.xadd(key, '*', 's', 'd:5', 'b', entry('d'));
  await server.client.xadd(key, '*', 's', 'd:x', 'b', entry('lost'));
  await server.client.xadd(key, '*', 's', 'd:6', 'b', entry('e'));
  await server.client.xadd(key, '*', 's', 'd:7', 'c', entry('lost'));
  await server.client.xadd(key, '*', 's', 'd:8', 'b', entry('f'));
  await eventually('the last entry', () => seen.includes('f'));
  expect(seen).toEqual(['a', 'b', 'c', 'gap d', 'd', 'gap d', 'e', 'gap d', 'f']);
  await reader.stop();
});

test('H2: the faults of one request’s frames affect only that request, in the entry and after it', async () => {
  const relay = new Relay({
    reader: connect(),
    commands: connect(),
    control: connect(),
    replica: 'g-alone',
    models: ['m'],
    clock: monotonic,
    log: silentLog,
  });
  await relay.start();
  const seen = new Map<string, string>();
  const note = (id: string, text: string): void => void seen.set(id, (seen.get(id) ?? '') + text);
  const ids = ['well', 'claimed', 'head', 'error', 'throws', 'also-well'];
  for (const requestId of ids)
    relay.open({
      path: '/v1/chat/completions',
      model: 'm',
      onGone: () => {},
      requestId,
      idleMs: 60_000,
      deadlineAt: monotonic() + 60_000,
      onClaimed: () => {},
      onTaken: () => {},
      onHead: () => {},
      onData: (chunk) => {
        if (requestId === 'throws') throw new Error('unexpected bytes');
        note(requestId, chunk.toString());
      },
      onOver: (failure) => note(requestId, failure === undefined ? '.' : ` ${failure.code}`),
    });
  const frames = (...list: [id: string, type: Frame['type'], payload: string][]): Buffer =>
    Buffer.concat(
      list.map(([requestId, type, payload]) =>
        encodeFrame({ type, requestId, epoch: 1, attempt: 1, payload: Buffer.from(payload) }),
      ),
    );
  const each = (type: Frame['type'], payload: string, bad: string): [string, Frame['type'], string][] =>
    ids.map((id) => [id, type, id === type ? bad : payload]);
  const key = keyOf('g-alone');
  await server.client.xadd(
    key,
    '*',
    's',
    'd:1',
    'b',
    frames(...each('claimed', '{"engine":"e","waits":false}', '{"engine":')),
  );
  await server.client.xadd(
    key,
    '*',
    's',
    'd:2',
    'b',
    Buffer.concat([
      frames(...each('head', '{"status":200,"contentType":"x"}', 'null'), ...each('data', 'a', 'a')),
      frames(['error', 'error', '{'], ...each('data', 'b', 'b')),
    ]),
  );
  await server.client.xadd(key, '*', 's', 'd:3', 'b', frames(...each('end', '', '')));
  await eventually('all are over', () => ids.every((id) => /[.]$| worker_lost$/.test(seen.get(id) ?? '')));
  expect(Object.fromEntries(seen)).toEqual({
    well: 'ab.',
    'also-well': 'ab.',
    claimed: ' worker_lost',
    head: ' worker_lost',
    error: 'a worker_lost',
    throws: ' worker_lost',
  });
  await relay.stop();
});

test('a killed replica: the dispatcher gives it up, and its stream is not recreated', async () => {
  const gone: string[] = [];
  const publisher = new Publisher(connect(), 'd-gone', silentLog, {
    gone: (replica) => gone.push(replica),
    behind: () => {},
  });
  publisher.send(replyAddress('g-dead', 'm'), data('a'));
  await eventually('given up', () => gone.length === 1);
  expect(gone).toEqual([replyAddress('g-dead', 'm')]);
  expect(await server.client.exists(keyOf('g-dead'))).toBe(0);
  await publisher.close();
});

test('an expired lease is detected, and the stream is recreated', async () => {
  const { reader, seen } = await startReader('g-lapse');
  await server.client.del(keyOf('g-lapse'));
  await eventually('noticed', () => seen.includes('lease lost'));
  expect(await server.client.exists(keyOf('g-lapse'))).toBe(1);
  const publisher = new Publisher(connect(), 'd-lapse', silentLog, NO_EVENTS);
  publisher.send(replyAddress('g-lapse', 'm'), data('a'));
  await eventually('answers arrive again', () => seen.includes('a'));
  await publisher.close();
  await reader.stop();
});

test('a Redis that was emptied during a broken connection: the stream is recreated on reconnection', async () => {
  const commands = connect();
  const { reader, seen } = await startReader('g-emptied', commands);
  let readyAt = Number.NaN;
  commands.once('ready', () => (readyAt = performance.now()));
  await server.client.del(keyOf('g-emptied'));
  await server.client.call('CLIENT', 'KILL', 'ID', String(await commands.client('ID')));
  await eventually('noticed', () => seen.includes('lease lost'));
  // Otherwise the next refresh would recreate it within 3 s.
  expect(performance.now() - readyAt).toBeLessThan(2_000);
  await reader.stop();
});

test('a dispatcher that works for a replica sends a heartbeat each second; its silence grows when it stops', async () => {
  const { reader, seen } = await startReader('g-beat');
  const publisher = new Publisher(connect(), 'd-beat', silentLog, NO_EVENTS);
  const release = publisher.retain(replyAddress('g-beat', 'm'));
  await eventually('two heartbeats', () => seen.filter((type) => type === 'heartbeat').length >= 2);
  expect(reader.silenceMs('m', 'd-beat')).toBeLessThan(2_500);
  release();
  await eventually('silence', () => reader.silenceMs('m', 'd-beat') > 2_500);
  await publisher.close();
  await reader.stop();
});
