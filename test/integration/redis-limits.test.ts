import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RedisClient } from '#runtime/redis-client';
import { connectRedis, type RedisManner } from '../../gateway/runtime/redis.ts';
import { RedisWatch } from '../../gateway/runtime/redis-watch.ts';
import { startProxy } from '../drill/tcp-proxy.mjs';
import { eventually } from '../support/eventually.ts';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { silentLog } from '../support/silent-log.ts';

let server: TestRedis;
let proxy: Awaited<ReturnType<typeof startProxy>>;
const opened: RedisClient[] = [];
beforeAll(async () => {
  server = await startRedis();
  proxy = await startProxy(() => Number(new URL(server.url).port));
});
afterAll(async () => {
  for (const redis of opened) redis.disconnect();
  await proxy.stop();
  await server[Symbol.asyncDispose]();
});

async function connect(manner: RedisManner, port = proxy.port): Promise<RedisClient> {
  const redis = connectRedis({ url: `redis://127.0.0.1:${port}` }, manner, 'test', silentLog);
  opened.push(redis);
  await eventually('it is connected', () => redis.status === 'ready');
  return redis;
}

test('C1, H1: connections that break without a reset recover, also idle and subscribed ones; none sends a given-up command again', async () => {
  const [failing, idle, listening] = [await connect('fail_fast'), await connect('patient'), await connect('patient')];
  let heard = 0;
  listening.on('message', () => {
    heard += 1;
  });
  await listening.subscribe('channel');
  proxy.mute(true);
  const at = performance.now();
  await expect(failing.incr('counter')).rejects.toThrow();
  expect(performance.now() - at).toBeLessThan(5_000);
  const kept = idle.set('kept', '1');
  await eventually('each noticed', () => [failing, idle, listening].every(({ status }) => status !== 'ready'), 8_000);
  proxy.mute(false);
  await eventually(
    'each is connected again',
    () => [failing, idle, listening].every(({ status }) => status === 'ready'),
    15_000,
  );
  expect(await kept).toBe('OK');
  // Redis may still count the broken connection, so its number of subscribers proves nothing.
  await eventually('it hears', async () => (await server.client.publish('channel', 'x')) > 0 && heard > 0);
  expect(await server.client.get('counter')).toBeNull();
  expect(await failing.incr('counter')).toBe(1);
}, 40_000);

test('C5: the state of a Redis is known: silent, away, full, another policy, evicting, restarted, and healthy', async () => {
  const lines: { level: string; event: string }[] = [];
  const log = Object.fromEntries(
    (['debug', 'info', 'warn', 'error'] as const).map((level) => [
      level,
      (_fields: object, event: string) => lines.push({ level, event }),
    ]),
  );
  const redis = await connect('fail_fast');
  const watch = new RedisWatch({ queue: redis, replies: redis }, { ...silentLog, ...log });
  const becomes = (state: string): Promise<unknown> =>
    eventually(state, () => watch.views['queue']?.state === state && watch.views['replies']?.state === state, 15_000);
  await eventually('it is known', () => watch.views['queue']?.evictionPolicy === 'noeviction');
  proxy.mute(true);
  await becomes('silent');
  await becomes('away');
  proxy.mute(false);
  await becomes('ok');
  await server.client.config('SET', 'maxmemory', '1');
  await becomes('full');
  await server.client.config('SET', 'maxmemory', '0');
  await becomes('ok');
  await server.client.config('SET', 'maxmemory-policy', 'allkeys-lru');
  await eventually('the policy is reported', () => watch.views['queue']?.evictionPolicy === 'allkeys-lru');
  await server.client.set('victim', 'x');
  await server.client.config('SET', 'maxmemory', '1');
  await eventually('evictions are reported', () => (watch.views['queue']?.evictedKeys ?? 0) > 0);
  await server.client.config('SET', 'maxmemory', '0');
  await server.client.config('SET', 'maxmemory-policy', 'noeviction');
  watch.stop();
  const told = lines.filter(({ level }) => level !== 'info').map(({ event }) => event);
  expect(told.filter((event) => event.includes('may evict keys'))).toHaveLength(1);
  expect(told.filter((event) => event === 'this Redis evicted keys').length).toBeGreaterThan(0);
  expect(told.filter((event) => event === 'Redis is not healthy')).toHaveLength(3);
}, 60_000);

test('C1: a server that accepts connections but is silent is reported at the start in one sentence', async () => {
  const mute = createServer((socket) => void socket.on('error', () => {}).resume()).listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const { requireRedis } = await import('../../gateway/runtime/redis-check.ts');
  const redis = connectRedis({ url: `redis://127.0.0.1:${portOf(mute)}` }, 'fail_fast', 'test', silentLog);
  opened.push(redis);
  await expect(requireRedis(redis, 300, { commands: [], keys: [], channels: [] })).rejects.toThrow(
    /did not answer within 300 ms/,
  );
  mute.close();
});
