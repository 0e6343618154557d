import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Frame } from '#contract/frame';
import { replyAddress } from '#contract/model-names';
import { redisKeys } from '#contract/redis-keys';
import { monotonic } from '#runtime/clock';
import { Relay } from '../../gateway/relay/relay.ts';
import { encodeFrame } from '../support/encode-frame.ts';
import { eventually } from '../support/eventually.ts';
import { silentLog } from '../support/silent-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

let server: TestRedis;
let relay: Relay;
const connections: Redis[] = [];
const connect = (): Redis => {
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  connections.push(redis);
  return redis;
};
beforeAll(async () => {
  server = await startRedis();
  const deps = { reader: connect(), commands: connect(), control: connect(), clock: monotonic, log: silentLog };
  relay = new Relay({ ...deps, replica: 'g', models: ['mine', 'other'] });
  await relay.start();
});
afterAll(async () => {
  await relay.stop();
  for (const connection of connections) connection.disconnect();
  await server[Symbol.asyncDispose]();
});

const CLAIMED = '{"engine":"e","waits":false}';
const HEAD = '{"status":200,"contentType":"x"}';
type Said = readonly [type: Frame['type'], payload?: string];
/** Writes frames about a request to a stream of the gateway. @param stamp `<dispatcher>:<sequence>` */
async function write(model: string, stamp: string, requestId: string, ...said: Said[]): Promise<void> {
  const frames = said.map(([type, payload = '']) =>
    encodeFrame({ type, requestId, epoch: 1, attempt: 1, payload: Buffer.from(payload) }),
  );
  await server.client.xadd(redisKeys.replies(replyAddress('g', model)), '*', 's', stamp, 'b', Buffer.concat(frames));
}
function open(requestId: string, model: string): string[] {
  const seen: string[] = [];
  relay.open({
    requestId,
    model,
    path: '/v1/chat/completions',
    idleMs: 60_000,
    deadlineAt: monotonic() + 60_000,
    onGone: () => {},
    onClaimed: () => seen.push('claimed'),
    onTaken: () => {},
    onHead: () => {},
    onData: (chunk) => seen.push(chunk.toString()),
    onOver: (failure) => seen.push(failure?.code ?? 'complete'),
  });
  return seen;
}

test('a worker of another model claims, answers, ends and cancels nothing, under any name', async () => {
  const control = connect();
  const told: string[] = [];
  control.on('message', (_channel, text) => told.push(text));
  await control.subscribe(redisKeys.control('dV@mine'));
  const [seen, waiting, own] = [open('victim', 'mine'), open('waiting', 'mine'), open('own', 'other')];
  await write('mine', 'dV@mine:1', 'victim', ['claimed', CLAIMED], ['head', HEAD], ['data', 'a']);
  await eventually('it runs', () => seen.includes('a'));
  // Its own stream is the only one that its user of Redis may write to.
  for (const [n, name] of ['dS@other', 'dV@mine', 'dOld'].entries()) {
    await write('other', `${name}:${n + 1}`, 'waiting', ['claimed', CLAIMED], ['data', 'x'], ['end']);
    await write('other', `${name}:${n + 2}`, 'victim', ['claimed', CLAIMED], ['data', 'x'], ['error', '{}'], ['end']);
    // A request that this replica does not know makes it cancel that attempt at the dispatcher.
    await write('other', `${name}:${n + 3}`, 'elsewhere', ['data', 'x']);
  }
  // An entry that cannot be read, and a gap, concern the dispatcher of its stream alone.
  await write('other', 'dV@mine:x', 'victim', ['data', 'x']);
  await write('other', 'dV@mine:900', 'victim', ['data', 'x']);
  await write('other', 'dS@other:50', 'own', ['claimed', CLAIMED], ['head', HEAD], ['data', 'o'], ['end']);
  await eventually('all that was read', () => own.includes('complete'));
  await write('mine', 'dV@mine:2', 'victim', ['data', 'b'], ['end']);
  await write('mine', 'dV@mine:3', 'waiting', ['claimed', CLAIMED], ['head', HEAD], ['data', 'w'], ['end']);
  await eventually('both are over', () => waiting.includes('complete') && seen.includes('complete'));
  expect([seen, waiting, told]).toEqual([['claimed', 'a', 'b', 'complete'], ['claimed', 'w', 'complete'], []]);
});

test('another dispatcher of the same model adds nothing to an answer that it was not cleared to start', async () => {
  const seen = open('cleared', 'mine');
  await write('mine', 'd1@mine:1', 'cleared', ['claimed', CLAIMED], ['head', HEAD], ['data', 'a']);
  await write('mine', 'd2@mine:1', 'cleared', ['data', 'x'], ['error', '{"reason":"expired","message":""}'], ['end']);
  await write('mine', 'd1@mine:2', 'cleared', ['data', 'b'], ['end']);
  await eventually('it is over', () => seen.includes('complete'));
  expect(seen).toEqual(['claimed', 'a', 'b', 'complete']);
});
