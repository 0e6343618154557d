import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { z } from 'zod';
import type { Frame } from '#contract/frame';
import { replyAddress } from '#contract/model-names';
import { redisKeys } from '#contract/redis-keys';
import { Answer, post, startStream } from '../support/chat-client.ts';
import { encodeFrame } from '../support/encode-frame.ts';
import { eventually } from '../support/eventually.ts';
import { png } from '../support/pictures.ts';
import { redisUser } from '../support/redis-user.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MINE = 'Phi-3.5-vision-instruct';
const OTHER = 'Phi-4';
const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${png(64, 48).toString('base64')}` } };
const Response = z.object({ id: z.string(), status: z.string() });

const folder = temporaryFolder();
let [first, second]: TestRedis[] = [];
let stack: Stack;
/** logged in as a worker of the other model */
let stranger: { readonly first: Redis; readonly second: Redis };
beforeAll(async () => {
  for (const name of ['phi-3.5-vision-instruct', 'phi-4'])
    await copyFile(`deploy/models/more/${name}.yaml`, join(folder.path, `${name}.yaml`));
  const [one, two] = await Promise.all([startRedis(), startRedis({ appendonly: false })]);
  [first, second] = [one, two];
  const urls = async (...role: string[]): Promise<{ first: string; second: string }> => ({
    first: await redisUser(one, ...role, '--redis', 'first'),
    second: await redisUser(two, ...role, '--redis', 'second'),
  });
  const [gateway, mine, other] = [
    await urls('--role', 'gateway', '--model', MINE, '--model', OTHER),
    await urls('--role', 'worker', '--model', MINE),
    await urls('--role', 'worker', '--model', OTHER),
  ];
  // No program can do without its user.
  for (const redis of [one, two]) await redis.client.config('SET', 'requirepass', 'of the test alone');
  stranger = { first: new Redis(other.first), second: new Redis(other.second) };
  const worker = (model: string, { first: url, second: replies }: typeof mine): Record<string, string> => ({
    WORKER_MODEL: model,
    WORKER_REDIS_URL: url,
    WORKER_REPLY_REDIS_URL: replies,
  });
  stack = await startStack({
    redis: one,
    replyRedis: two,
    launchers: 2,
    gatewayEnv: {
      GATEWAY_MODELS_DIR: folder.path,
      GATEWAY_REDIS_URL: gateway.first,
      GATEWAY_REPLY_REDIS_URL: gateway.second,
    },
    workerEnv: { ...NO_IDLE_TESTS, WORKER_MODELS_DIR: folder.path, PENSTOCK_SIM_ITL_MS: '20' },
    launcherEnvs: [worker(MINE, mine), worker(OTHER, other)],
  });
}, 90_000);
afterAll(async () => {
  stranger.first.disconnect();
  stranger.second.disconnect();
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const chat = (content: unknown, tokens = 4): object => ({
  model: MINE,
  max_tokens: tokens,
  messages: [{ role: 'user', content }],
});
/** What Redis refused, as `<user> <command or key>`. Dispatchers try the registry of release 0.2, and stop. */
async function refused(): Promise<string[]> {
  const log = await Promise.all(
    [first, second].map(async (redis) => z.array(z.array(z.unknown())).parse(await redis?.client.acl('LOG'))),
  );
  const entries = log.flat().map((fields) => `${String(fields[9])} ${String(fields[7])}`);
  return entries.filter((entry) => !/ penstock:worker:d\w+@/.test(entry));
}

test('gateway and worker need no more than their users have', async () => {
  const url = `${stack.url}/v1/chat/completions`;
  const ask = async (content: unknown): Promise<string> =>
    Answer.parse(await (await post(url, chat(content))).json()).choices[0].message.content;
  const once = async (): Promise<string> => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': 'once' };
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(chat('hi')) })).text();
  };
  const text = await once();
  expect(Answer.parse(JSON.parse(text)).choices).toHaveLength(1);
  expect(await once()).toBe(text);
  expect(await ask([image, { type: 'text', text: 'hi' }])).not.toBe('');
  expect(await (await post(url, { ...chat('hi'), stream: true })).text()).toMatch(/data: \[DONE\]\n\n$/);
  const begun = Response.parse(
    await (
      await post(`${stack.url}/v1/responses`, { model: MINE, input: 'hi', background: true, max_output_tokens: 4 })
    ).json(),
  );
  const state = async (): Promise<string> =>
    Response.parse(await (await fetch(`${stack.url}/v1/responses/${begun.id}`)).json()).status;
  await eventually('it is over', async () => ['completed', 'incomplete'].includes(await state()));
  expect(await refused()).toEqual([]);
});

test('a worker of another model reads and changes nothing of this one, and its words are dropped', async () => {
  const { client } = stack.redis;
  const { replica, workers } = await stack.status();
  const victim = workers.find(({ engines }) => engines.some(({ model }) => model === MINE))?.incarnation ?? '';
  const running = startStream(`${stack.url}/v1/chat/completions`, chat('a long story', 150));
  const asked = { model: MINE, input: 'a long story', background: true, max_output_tokens: 150 };
  const begun = Response.parse(await (await post(`${stack.url}/v1/responses`, asked)).json());
  await running.begun;
  const [body = ''] = await stack.replyRedis.client.keys(`${redisKeys.body(MINE, '')}*`);
  const requestId = body.slice(redisKeys.body(MINE, '').length);
  expect(requestId).toMatch(/^g/);
  const replies = redisKeys.replies(replyAddress(replica, MINE));
  const [day] = new Date().toISOString().split('T');

  const attempts: [redis: Redis, command: string, ...args: (string | number)[]][] = [
    [stranger.second, 'get', body],
    [stranger.second, 'unlink', body],
    [stranger.first, 'get', redisKeys.body(MINE, begun.id)],
    [stranger.first, 'eval', `return redis.call('get', ARGV[1])`, 0, redisKeys.body(MINE, begun.id)],
    [stranger.second, 'xrange', replies, '-', '+'],
    [stranger.second, 'xadd', replies, '*', 's', `${victim}:9`, 'b', ''],
    [stranger.second, 'get', redisKeys.onceAnswer('x')],
    [stranger.first, 'hgetall', redisKeys.once('x')],
    [stranger.first, 'hgetall', redisKeys.dayBudget('team')],
    [stranger.first, 'get', `${redisKeys.limitPrefix('requests_per_minute')}:team`],
    [stranger.first, 'get', redisKeys.cacheSaltSecret()],
    [stranger.first, 'hgetall', redisKeys.answer(MINE, begun.id)],
    [stranger.first, 'hset', redisKeys.answer(MINE, begun.id), 'state', 'failed'],
    [stranger.first, 'xadd', redisKeys.answerLog(MINE, begun.id), '*', 'j', '{"state":"failed"}'],
    [stranger.first, 'xadd', `${redisKeys.ownersPrefix(MINE)}${replica}`, '*', 's', '', `${begun.id}:`, ''],
    [stranger.first, 'zrem', redisKeys.openAnswers(MINE), begun.id],
    [stranger.first, 'get', redisKeys.answerSaid(OTHER, begun.id)],
    [stranger.first, 'get', redisKeys.item(OTHER, 'x')],
    [stranger.first, 'zrange', `${redisKeys.queuePrefix(MINE)}:text:prioritized`, 0, -1],
    [stranger.first, 'del', `${redisKeys.queuePrefix(MINE)}:text:meta`],
    [stranger.first, 'zadd', redisKeys.bookings(MINE, 'text'), 1, 'x'],
    [stranger.first, 'zrem', redisKeys.reservations(MINE), 'x'],
    [stranger.first, 'hincrby', redisKeys.usage(MINE, day ?? '', 'anonymous'), 'requests', 9],
    [stranger.first, 'hset', redisKeys.usageNotes(MINE, requestId), '1-1', 'moved'],
    [stranger.first, 'zrem', redisKeys.workersOf(MINE), victim],
    [stranger.first, 'set', redisKeys.workerOf(MINE, victim), '{}'],
    [stranger.first, 'zadd', redisKeys.workers(), 1, 'x'],
    [stranger.first, 'zadd', redisKeys.quarantine(), 1, 'x'],
    [stranger.first, 'sadd', redisKeys.deaths('x'), 'engine'],
    [stranger.first, 'zadd', `${redisKeys.webhooksPrefix()}:deliveries:delayed`, 1, 'x'],
    [stranger.first, 'publish', redisKeys.control(victim), '{}'],
    [stranger.first, 'subscribe', redisKeys.control(victim)],
    [stranger.first, 'keys', '*'],
    [stranger.first, 'scan', 0],
    [stranger.first, 'flushall'],
    [stranger.first, 'config', 'GET', '*'],
    [stranger.first, 'acl', 'LIST'],
    [stranger.first, 'client', 'LIST'],
    [stranger.first, 'monitor'],
    [stranger.second, 'eval', 'return 1', 0],
  ];
  for (const [redis, command, ...args] of attempts)
    await expect(redis.call(command, ...args)).rejects.toThrow(/NOPERM|The user executing the script can't access/);

  // What its user may write: the streams and records of its own model.
  const frame = (type: Frame['type'], payload = ''): Buffer =>
    encodeFrame({ type, requestId, epoch: 1, attempt: 1, payload: Buffer.from(payload) });
  const lies = Buffer.concat([
    frame('claimed', '{"engine":"e","waits":false}'),
    frame('data', 'data: forged'),
    frame('error', '{"reason":"expired","message":"forged"}'),
    frame('end'),
  ]);
  for (const [n, name] of [victim, `d0@${OTHER}`, 'd0'].entries())
    await stranger.second.xadd(
      redisKeys.replies(replyAddress(replica, OTHER)),
      '*',
      's',
      `${name}:${n + 1}`,
      'b',
      lies,
    );
  const own = `${redisKeys.ownersPrefix(OTHER)}${replica}`;
  await stranger.first.xadd(own, '*', 's', `d0@${OTHER}`, `${begun.id}:1-9`, lies, `${begun.id}:`, '');
  const record = await client.hgetall(redisKeys.answer(MINE, begun.id));
  const forged = { ...record, state: 'completed', answer: '{"id":"forged","status":"forged"}' };
  await stranger.first.hset(redisKeys.answer(OTHER, begun.id), forged);
  const report = { ...workers[0], incarnation: `d0@${OTHER}`, engines: workers.flatMap(({ engines }) => engines) };
  await stranger.first.set(redisKeys.workerOf(OTHER, `d0@${OTHER}`), JSON.stringify(report));
  await stranger.first.zadd(redisKeys.workersOf(OTHER), Date.now(), `d0@${OTHER}`);

  const { done, text, error } = await running.ended;
  expect([done, error, text.includes('forged')]).toEqual([true, undefined, false]);
  const kept = async (): Promise<z.infer<typeof Response>> =>
    Response.parse(await (await fetch(`${stack.url}/v1/responses/${begun.id}`)).json());
  await eventually('the kept response is over', async () => !['queued', 'in_progress'].includes((await kept()).status));
  expect(await kept()).toMatchObject({ id: begun.id, status: expect.stringMatching(/^(completed|incomplete)$/) });
  expect((await stack.status()).workers.map(({ incarnation }) => incarnation)).not.toContain(`d0@${OTHER}`);
}, 60_000);

test('a worker that puts something else in the place of what it may write stops its own model at most', async () => {
  const { replica } = await stack.status();
  const owners = await stack.redis.client.keys(`${redisKeys.ownersPrefix(OTHER)}*`);
  const [day = ''] = new Date().toISOString().split('T');
  const replaced = [redisKeys.workersOf(OTHER), ...owners, redisKeys.usageKeys(OTHER, day)];
  for (const key of replaced) await stranger.first.set(key, 'no longer what it was');
  // With one Redis, its user may do this too.
  await stack.replyRedis.client.set(redisKeys.replies(replyAddress(replica, OTHER)), 'no stream');
  const answered = async (model: string): Promise<boolean> =>
    (await post(`${stack.url}/v1/chat/completions`, { ...chat('hi'), model })).status === 200;
  const begunAt = performance.now();
  expect(await answered(MINE)).toBe(true);
  const kept = await post(`${stack.url}/v1/responses`, { model: MINE, input: 'hi', store: true, max_output_tokens: 4 });
  expect(Response.parse(await kept.json()).status).toBe('incomplete');
  // A lease takes 15 s: nothing waited for it.
  expect(performance.now() - begunAt).toBeLessThan(10_000);
  expect((await fetch(`${stack.gateways[0]?.internalUrl}/usage`)).status).toBe(200);
  await eventually('the other model is served again', () => answered(OTHER), 40_000);
}, 90_000);
