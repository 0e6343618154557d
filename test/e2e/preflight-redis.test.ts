import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '#runtime/free-port';
import { penstock } from '../support/penstock-command.ts';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

/** Facts of a machine that passes, so that only Redis decides. */
const FACTS = ['--facts', 'test/fixtures/machines/nc48ads.json'];
let well: TestRedis;
let evicting: TestRedis;
/** Reports a version before the commands that we need. */
let old: Server;

beforeAll(async () => {
  [well, evicting] = await Promise.all([startRedis(), startRedis({ args: ['--maxmemory-policy', 'volatile-lru'] })]);
  await well.client.acl('SETUSER', 'reader', 'on', '>pw', '~*', '&*', '+@all', '-xadd', '-set');
  const page = 'redis_version:6.0.14\r\nredis_mode:standalone\r\nrole:master\r\nloading:0\r\n';
  old = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      // RESP: each command is `*<words>`, its name is the first word
      for (const [, name] of String(bytes).matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g))
        socket.write(name?.toLowerCase() === 'info' ? `$${page.length}\r\n${page}\r\n` : '+OK\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(old, 'listening');
}, 30_000);
afterAll(async () => {
  old.close();
  await Promise.all([well, evicting].map((redis) => redis[Symbol.asyncDispose]()));
});

const preflight = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  penstock(['preflight', ...FACTS, ...args], { env: { WORKER_REDIS_WAIT_MS: '1500', ...env } });

test('C4: a suitable Redis passes, with a line for the server and a line for its policy', async () => {
  const { code, stdout } = await preflight({ WORKER_REDIS_URL: `${well.url}/3` });
  expect(stdout).toMatch(
    /^ {2}ok +Redis +127\.0\.0\.1:\d+, database 3, version [\d.]+ +needs a primary, version 6\.2/m,
  );
  expect(stdout).toMatch(/^ {2}ok +Redis, policy +noeviction +needs noeviction$/m);
  expect([code, stdout.includes('This machine passes.'), stdout.includes('Redis does not pass')]).toEqual([
    0,
    true,
    false,
  ]);
  expect(await well.client.dbsize()).toBe(0);
}, 30_000);

test("C4: a gateway's URL is checked too, and each of two Redis by its name", async () => {
  const { code, stdout } = await preflight(
    { GATEWAY_REDIS_URL: well.url, GATEWAY_REPLY_REDIS_URL: evicting.url },
    '--json',
  );
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    passes: true,
    redis: [
      { what: 'Redis, queue', passes: true },
      { what: 'Redis, queue, policy', found: 'noeviction', passes: true },
      { what: 'Redis, replies', passes: true },
      { what: 'Redis, replies, policy', found: 'volatile-lru', wanted: 'noeviction', passes: false },
    ],
  });
}, 30_000);

test.each([
  ['a policy that evicts', () => evicting.url, /^ {2}MISSING +Redis, policy +volatile-lru +needs noeviction$/m],
  ['a missing database', () => `${well.url}/99`, /^ {2}MISSING +Redis +.* has no database 99: /m],
  ['no server', async () => `redis://127.0.0.1:${await freePort()}`, /^ {2}MISSING +Redis +.* refuses connections/m],
  [
    'few rights',
    () => well.url.replace('//', '//reader:pw@'),
    /^ {2}MISSING +Redis +.* does not let our user run set, xadd on /m,
  ],
  [
    'an old version',
    () => `redis://127.0.0.1:${portOf(old)}`,
    /^ {2}MISSING +Redis +.* is Redis 6\.0\.14, which is too old/m,
  ],
])(
  'C4: %s is reported in its line, and makes preflight fail',
  async (_what, urlOf, line) => {
    const { code, stdout } = await preflight({ WORKER_REDIS_URL: await urlOf() }, '--override-sku');
    expect(stdout).toMatch(line);
    expect(stdout).toContain('This machine passes.\nRedis does not pass');
    expect(code).toBe(1);
  },
  30_000,
);

test('without a URL no Redis is checked', async () => {
  const { code, stdout } = await preflight({});
  expect([code, stdout.includes('Redis')]).toEqual([0, false]);
}, 30_000);
