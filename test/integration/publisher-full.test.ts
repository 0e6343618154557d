import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { decodeFrames, type Frame } from '#contract/frame';
import { redisKeys } from '#contract/redis-keys';
import { Publisher } from '../../worker-launcher/dispatch/publisher.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { silentLog } from '../support/silent-log.ts';

const REPLICA = 'g1';
const PIECE = Buffer.alloc(64 * 1024, 'x');

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

test('engines that send faster than Redis accepts are paused until it has caught up; no replica is given up', async () => {
  const { server: client } = server;
  await client.xadd(redisKeys.replies(REPLICA), '*', 's', '', 'b', '');
  const events: string[] = [];
  const publisher = new Publisher(client, 'd1', silentLog, {
    gone: () => events.push('gone'),
    behind: (_replica, behind) => events.push(behind ? 'hold' : 'go on'),
  });
  const release = publisher.retain(REPLICA);
  const frame: Frame = { type: 'data', requestId: 'r-1', epoch: 1, attempt: 1, payload: PIECE };
  let sent = 0;
  // An engine that pauses on request.
  for (; !events.includes('hold') && sent < 1_000; sent += 1) publisher.send(REPLICA, frame);
  expect(sent * PIECE.length).toBeLessThan(16 * 1024 * 1024);
  await eventually('it may go on', () => events.includes('go on'));
  release();
  await publisher.close();
  expect(events.slice(0, 2)).toEqual(['hold', 'go on']);
  expect(events).not.toContain('gone');
  const entries = await client.xrangeBuffer(redisKeys.replies(REPLICA), '-', '+');
  const frames = entries.flatMap(([, fields]) => decodeFrames(fields[3] ?? Buffer.alloc(0)));
  expect(frames.filter(({ type }) => type === 'data')).toHaveLength(sent);
});
