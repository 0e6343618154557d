import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { noisePng } from '../support/pictures.ts';
import { startRedis } from '../support/redis.ts';
import { startStack, type Stack } from '../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  // A node of a cluster takes no REPLICAOF.
  stack = await startStack({ redis: await startRedis({ kind: 'single' }) });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

const messages = [{ role: 'user', content: 'Tell me of rivers.' }];
const OpenAi = z.object({ error: z.object({ code: z.literal('queue_unavailable'), type: z.literal('server_error') }) });
const Azure = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
/** Each dialect's answer while Redis accepts no writes. */
const DIALECTS: readonly (readonly [path: string, body: object, status: number, shape: z.ZodType])[] = [
  ['/v1/chat/completions', { messages, max_tokens: 4 }, 503, OpenAi],
  ['/v1/chat/completions', { messages, max_tokens: 4, stream: true }, 503, OpenAi],
  ['/v1/completions', { prompt: 'Rivers', max_tokens: 4 }, 503, OpenAi],
  ['/v1/responses', { input: 'Rivers', max_output_tokens: 4 }, 503, OpenAi],
  ['/chat/completions', { messages, max_tokens: 4 }, 503, Azure],
  ['/score', { input_data: { input_string: messages, parameters: { max_new_tokens: 4 } } }, 503, Azure],
];

const Folder = z.tuple([z.string(), z.string()]);
async function dumpFile(redis: Redis): Promise<string> {
  return join(Folder.parse(await redis.config('GET', 'dir'))[1], 'dump.rdb');
}
async function saves(redis: Redis, outcome: 'ok' | 'err'): Promise<void> {
  await redis.bgsave();
  const isSo = async (): Promise<boolean> =>
    (await redis.info('persistence')).includes(`rdb_last_bgsave_status:${outcome}`);
  await eventually(`a snapshot: ${outcome}`, isSo);
}

const STATES: readonly (readonly [
  state: string,
  fault: string,
  begin: (redis: Redis) => Promise<unknown>,
  end: (redis: Redis) => Promise<unknown>,
])[] = [
  [
    'read_only',
    'became a replica',
    async (redis) => redis.replicaof('127.0.0.1', await freePort()),
    (redis) => redis.replicaof('NO', 'ONE'),
  ],
  [
    'cannot_save',
    'cannot write its file (MISCONF)',
    async (redis) => {
      // A folder with the file's name stops every user, also root.
      await mkdir(await dumpFile(redis));
      await writeFile(join(await dumpFile(redis), 'in-the-way'), '');
      await redis.config('SET', 'save', '3600 1000000');
      await saves(redis, 'err');
    },
    async (redis) => {
      await rm(await dumpFile(redis), { recursive: true });
      await saves(redis, 'ok');
    },
  ],
  [
    'full',
    'has no memory left (OOM)',
    (redis) => redis.config('SET', 'maxmemory', '1'),
    (redis) => redis.config('SET', 'maxmemory', '0'),
  ],
];

/** Memory for texts, but not for a picture. */
const LITTLE_BYTES = 300 * 1024;
const Status = z.object({ redis: z.record(z.string(), z.object({ state: z.string() })) });

/** All programs report this state of all Redis. */
async function becomes(wanted: string): Promise<void> {
  await eventually(
    `all tell of ${wanted}`,
    async () => {
      for (const { internalUrl } of programs()) {
        const { redis } = Status.parse(await (await fetch(`${internalUrl}/status`)).json());
        if (Object.values(redis).some((one) => one.state !== wanted)) return false;
        const page = await (await fetch(`${internalUrl}/metrics`)).text();
        if (!page.includes(`penstock_redis_state{redis="queue",state="${wanted}"} 1`)) return false;
      }
      return true;
    },
    20_000,
  );
}
const programs = () => [...stack.gateways, ...stack.launchers];

test.each(STATES)(
  'C: %s, a Redis that %s: one log line, /status and a gauge report it, each dialect sends Retry-After, and it recovers by itself',
  async (state, _fault, begin, end) => {
    const { server } = stack.redis;
    await becomes('ok');
    await begin(server);
    await becomes(state);
    for (const [path, body, status, shape] of DIALECTS) {
      const outcome = await call(stack.url + path, body).ended;
      expect([path, outcome.status]).toEqual([path, status]);
      expect(Number(outcome.headers['retry-after'])).toBeGreaterThan(0);
      shape.parse(JSON.parse(outcome.body));
    }
    await end(server);
    await becomes('ok');
    const answers = async (): Promise<boolean> => {
      const [path = '', body] = DIALECTS[0] ?? [];
      return (await call(stack.url + path, body).ended).status === 200;
    };
    await eventually('it serves again', answers, 20_000);
    for (const { output } of programs()) {
      const told = output()
        .split('\n')
        .filter((line) => line.includes(`"state":"${state}"`));
      expect(told).toHaveLength(1);
      expect(JSON.parse(told[0] ?? '')).toMatchObject({ level: 'warn', redis: 'queue', event: 'Redis is not healthy' });
    }
  },
  60_000,
);

test('C: a Redis with memory for texts but not for a picture is reported as full too', async () => {
  const { client } = stack.redis;
  await becomes('ok');
  const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
  await client.config('SET', 'maxmemory', String(used + LITTLE_BYTES));
  const url = `data:image/png;base64,${noisePng(1_000, 1_000).toString('base64')}`;
  const content = [
    { type: 'image_url', image_url: { url } },
    { type: 'text', text: 'What is this?' },
  ];
  const picture = { messages: [{ role: 'user', content }], max_tokens: 4 };
  const refused = await call(`${stack.url}/v1/chat/completions`, picture).ended;
  expect([refused.status, Number(refused.headers['retry-after']) > 0]).toEqual([503, true]);
  await becomes('full');
  // Redis frees the buffer through which the picture came only after a while.
  const isAnswered = async (): Promise<boolean> => {
    const text = await call(`${stack.url}/v1/chat/completions`, { messages, max_tokens: 4 }).ended;
    return text.status === 200;
  };
  await eventually('a text is answered', isAnswered, 5_000);
  await client.config('SET', 'maxmemory', '0');
  await becomes('ok');
  expect((await call(`${stack.url}/v1/chat/completions`, picture).ended).status).toBe(200);
}, 60_000);
