import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { EVERY, WITH_MESSAGES, messages, score } from '../bad-requests/route.ts';
import { auditLines } from '../support/audit-lines.ts';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { noisePng } from '../support/pictures.ts';
import { cleanEnv, PENSTOCK, runStart, temporaryFolder, type StartProcess } from '../support/start-process.ts';
import { startReceiver, type Receiver } from '../support/webhook-receiver.ts';
import { freePorts } from '#runtime/free-port';

/** In every prompt. */
const CANARY = 'zanzibarcanary';
const picture = noisePng(40, 40);
/** Words of prompts, parts of pictures in each form, and text that only answers contain. */
const TRACES: readonly (readonly [what: string, bytes: Buffer])[] = [
  ['a prompt', Buffer.from(CANARY)],
  ['a picture', picture.subarray(400, 440)],
  ['a picture in base64', Buffer.from(picture.toString('base64').slice(600, 640))],
  ['an answer', Buffer.from('chat.completion')],
  ['the end of an answer', Buffer.from('data: [DONE]')],
];
/** deadline of every request; a body outlives it by a minute if its gateway was killed */
const DEADLINE_MS = 30_000;
const BODY_GRACE_MS = 60_000;
/** how long answers with an idempotency key, background answers and items are kept */
const KEPT_MS = 15_000;
/** a key that nobody has */
const WRONG_KEY = 'penstock_zanzibarcanaryzanzibarcanary';
const Engines = z.object({ engines: z.array(z.object({ pid: z.number().nullable(), state: z.string() })) });
const Replica = z.object({ replica: z.string() });
const text = [{ role: 'user', content: `Say much of the ${CANARY}.` }];
const image = [
  {
    role: 'user',
    content: [
      { type: 'image_url', image_url: { url: `data:image/png;base64,${picture.toString('base64')}` } },
      { type: 'text', text: `What does the ${CANARY} show?` },
    ],
  },
];

const folder = temporaryFolder();
const dataDir = join(folder.path, 'data');
const keyFile = join(folder.path, 'keys.yaml');
let run: StartProcess;
let port: number;
let receiver: Receiver;
let key: string;
let secret: string;
beforeAll(async () => {
  receiver = await startReceiver();
  const printed = async (...words: string[]): Promise<string> =>
    (await penstock(['keys', ...words, '--file', keyFile])).stdout.trim();
  key = await printed('create', '--id', 'team');
  secret = await printed('webhook', 'team', `http://127.0.0.1:${receiver.port}/hook`);
  port = await freePorts(3);
  const args = ['up', '--port', String(port), '--data-dir', dataDir, '--engine', 'simulator'];
  const env = {
    GATEWAY_LOG_LEVEL: 'debug',
    WORKER_LOG_LEVEL: 'debug',
    PENSTOCK_SIM_ITL_MS: '20',
    GATEWAY_REQUEST_TIMEOUT_MS: String(DEADLINE_MS),
    GATEWAY_KEYS_FILE: keyFile,
    GATEWAY_WEBHOOK_ALLOW: '127.0.0.1',
    GATEWAY_IDEMPOTENCY_TTL_MS: String(KEPT_MS),
    GATEWAY_ITEMS_TTL_MS: String(KEPT_MS),
    GATEWAY_USAGE_METRICS: 'true',
    GATEWAY_AUDIT_FILE: join(dataDir, 'audit.jsonl'),
    GATEWAY_AUDIT_REQUESTS: 'true',
    WORKER_AUDIT_FILE: join(dataDir, 'audit.jsonl'),
  };
  run = runStart([process.execPath, PENSTOCK, ...args], dataDir, cleanEnv(env));
  await run.says(/^ready /m, 60_000);
}, 90_000);
afterAll(async () => {
  await run[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (body: object, headers: Record<string, string> = {}, path = '/v1/chat/completions') =>
  call(`http://127.0.0.1:${port}${path}`, body, { authorization: `Bearer ${key}`, ...headers });
async function whole(body: object, headers?: Record<string, string>): Promise<Outcome> {
  const outcome = await ask(body, headers).ended;
  expect(outcome.status).toBe(200);
  return outcome;
}
const pidOf = (name: string): number => run.noted().find((one) => one.name === name)?.pid ?? 0;
const engines = async () => Engines.parse(await (await fetch(`http://127.0.0.1:${port + 2}/status`)).json()).engines;
async function answersAgain(): Promise<void> {
  await eventually(
    'requests are answered again',
    async () => (await ask({ messages: text, max_tokens: 2 }).ended).status === 200,
    60_000,
  );
}

/** Secrets too; the password of a Redis is in the file from which the owner's other commands read it. */
function traces(file = ''): readonly (readonly [what: string, bytes: Buffer])[] {
  const passwords =
    file === 'pids.json' ? [] : run.noted().flatMap(({ url }) => (url === undefined ? [] : [new URL(url).password]));
  const secrets = [
    ['a key', key],
    ['a wrong key', WRONG_KEY],
    ['the secret of a webhook', secret],
  ] as const;
  return [
    ...TRACES,
    ...secrets.map(([what, text]) => [what, Buffer.from(text)] as const),
    ...passwords.map((password) => ['a password of Redis', Buffer.from(password)] as const),
  ];
}

/** Which traces the files of the data folder contain: logs, audit lines, the file of the first Redis, and all others. */
function onDisk(): string[] {
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    const bytes = readFileSync(path);
    return traces(entry.name)
      .filter(([, trace]) => bytes.includes(trace))
      .map(([what]) => `${what} in ${entry.name}`);
  });
}

/**
 * Which traces the two Redis contain, in any key and in their command logs.
 * @param dead a killed replica, whose bodies expire by TTL
 */
async function inRedis(dead = ''): Promise<string[]> {
  const found: string[] = [];
  for (const { name, url } of run.noted()) {
    if (url === undefined) continue;
    const redis = new Redis(url);
    const held: [string, Buffer][] = [['slowlog', Buffer.from(JSON.stringify(await redis.slowlog('GET', 128)))]];
    for (const key of await redis.keys('*')) {
      const type = await redis.type(key);
      if (type === 'none') continue;
      if (dead !== '' && key.includes(`:body:${dead}-`) && (await redis.pttl(key)) <= DEADLINE_MS + BODY_GRACE_MS)
        continue;
      // DUMP compresses, so texts are read directly; a stream's DUMP also has trimmed entries of a kept node.
      if (type === 'string') held.push([key, (await redis.getBuffer(key)) ?? Buffer.alloc(0)]);
      else if (type === 'hash') held.push([key, Buffer.from(JSON.stringify(await redis.hgetall(key)))]);
      held.push([key, (await redis.dumpBuffer(key)) ?? Buffer.alloc(0)]);
    }
    redis.disconnect();
    for (const [key, bytes] of held)
      for (const [what, trace] of traces()) if (bytes.includes(trace)) found.push(`${what} in ${key} of ${name}`);
  }
  return [...new Set(found)];
}

/** Kept answers rest in the file of the first Redis, until it is written again. */
async function rewriteFile(): Promise<void> {
  const first = new Redis(run.noted().find(({ name }) => name === 'redis')?.url ?? '');
  // A key whose time is over is in memory, and would be in the new file, until Redis comes to remove it.
  await eventually(
    'lapsed keys are gone',
    async () => (await first.dbsize()) === (await first.keys('*')).length,
    20_000,
  );
  await first.bgrewriteaof();
  await eventually('the file is written again', async () => {
    const info = await first.info('persistence');
    return /aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info);
  });
  first.disconnect();
  await eventually('the former file is gone', () => onDisk().length === 0).catch(() => {});
}

const Kept = z.object({ id: z.string() });

test('secrets, prompts and pictures of all APIs are in no log, metric, audit line or file, and later in no Redis', async () => {
  const statuses: [string, number][] = [];
  const send = async (
    what: string,
    path: string,
    body: object,
    headers: Record<string, string> = {},
  ): Promise<Outcome> => {
    const outcome = await ask(body, headers, path).ended;
    statuses.push([`${what} ${path}`, outcome.status]);
    return outcome;
  };
  for (const route of EVERY) {
    const isChat = WITH_MESSAGES.includes(route) || route === messages;
    const input = isChat ? [{ role: 'user', content: `Of ${CANARY}.` }] : `Of ${CANARY}.`;
    const few = { ...route.withInput(input), ...(route === score ? {} : { max_tokens: 4 }) };
    await send('ok', route.path, few);
    await send('ok', route.path, few, { 'idempotency-key': `once ${route.path}` });
    await send('ok', route.path, few, { 'idempotency-key': `once ${route.path}` });
    if (route !== score) await send('ok', route.path, { ...few, stream: true });
    if (WITH_MESSAGES.includes(route)) await send('ok', route.path, { ...few, ...route.withInput(image) });
    await send('bad', route.path, { ...few, ...route.withInput([{ role: CANARY, content: { [CANARY]: CANARY } }]) });
    await send('bad', route.path, few, { authorization: `Bearer ${WRONG_KEY}`, 'api-key': WRONG_KEY });
  }
  const input = `Of ${CANARY}.`;
  const short = { input, max_output_tokens: 4 };
  await send('ok', '/v1/responses', short);
  await send('ok', '/v1/responses', { ...short, stream: true });
  await send('bad', '/v1/responses', { ...short, tools: CANARY });
  const background = await send('ok', '/v1/responses', { ...short, background: true, store: false });
  const stored = await send('ok', '/v1/responses', { ...short, store: true });
  expect(statuses.filter(([what, status]) => what.startsWith('ok') !== (status === 200))).toEqual([]);
  const { id } = Kept.parse(JSON.parse(background.body));
  await eventually('the webhook', () => receiver.of(id).length === 1, 20_000);

  const pages = [port + 1, port + 2].flatMap((at) =>
    ['/metrics', '/status'].map((path) => `http://127.0.0.1:${at}${path}`),
  );
  for (const page of [...pages, `http://127.0.0.1:${port + 1}/usage`, `http://127.0.0.1:${port + 1}/webhooks`]) {
    const text = await (await fetch(page)).text();
    expect([page, traces().filter(([, trace]) => text.includes(trace.toString('latin1')))]).toEqual([page, []]);
  }
  const lines = auditLines(join(dataDir, 'audit.jsonl'));
  expect(lines.filter(({ act }) => act === 'request').length).toBeGreaterThanOrEqual(statuses.length);

  // Only what somebody asked to store is left.
  const { id: asked } = Kept.parse(JSON.parse(stored.body));
  const others = async () => (await inRedis()).filter((found) => !found.includes(asked));
  await eventually('nothing else is left', async () => (await others()).length === 0, 60_000).catch(() => {});
  expect(await others()).toEqual([]);
  expect(await inRedis()).toContainEqual(expect.stringMatching(`^a prompt in .*${asked}`));
  const gone = await fetch(`http://127.0.0.1:${port}/v1/responses/${asked}`, {
    method: 'DELETE',
    headers: { 'api-key': key },
  });
  expect(gone.status).toBe(200);
  expect(await inRedis()).toEqual([]);
  await rewriteFile();
  expect(onDisk()).toEqual([]);
}, 120_000);

test('N12: prompts, pictures and answers are in no file and, after their requests, in no Redis, whatever was killed during them', async () => {
  for (const messages of [text, image])
    for (const stream of [false, true]) await whole({ messages, max_tokens: 30, stream });

  // a client that leaves while it is answered
  const left = ask({ messages: image, max_tokens: 2_000, ignore_eos: true, stream: true });
  await left.begun;
  left.leave('close');
  await left.ended;

  // an engine that is killed under two requests
  const before = await engines();
  const killed = [text, image].map((messages) => ask({ messages, max_tokens: 400, ignore_eos: true, stream: true }));
  await Promise.all(killed.map(({ begun }) => begun));
  process.kill(before[0]?.pid ?? Number.NaN, 'SIGKILL');
  await Promise.all(killed.map(({ ended }) => ended));
  await answersAgain();

  // a gateway that is killed under two requests, and whose stream and bodies are not removed
  const cut = [text, image].map((messages) => ask({ messages, max_tokens: 400, ignore_eos: true, stream: true }));
  await Promise.all(cut.map(({ begun }) => begun));
  const gateway = pidOf('gateway');
  const { replica } = Replica.parse(await (await fetch(`http://127.0.0.1:${port + 1}/status`)).json());
  process.kill(gateway, 'SIGKILL');
  await Promise.all(cut.map(({ ended }) => ended));
  await eventually('another gateway', () => ![0, gateway].includes(pidOf('gateway')));
  await answersAgain();

  // a second Redis that is killed under two requests
  const lost = [text, image].map((messages) => ask({ messages, max_tokens: 400, ignore_eos: true, stream: true }));
  await Promise.all(lost.map(({ begun }) => begun));
  const replies = pidOf('reply-redis');
  process.kill(replies, 'SIGKILL');
  await Promise.all(lost.map(({ ended }) => ended));
  await answersAgain();

  expect(onDisk()).toEqual([]);
  // The stream of the killed gateway expires 15 s after its last refresh.
  await eventually('nothing is left', async () => (await inRedis(replica)).length === 0, 40_000).catch(() => {});
  expect(await inRedis(replica)).toEqual([]);

  await whole({ messages: text, max_tokens: 30 }, { 'idempotency-key': 'asked for' });
  // Only the answer with an idempotency key is kept, until its TTL ends.
  const others = async () =>
    (await inRedis(replica)).filter((found) => !/:answer-(log|archive):\S+ of redis$/.test(found));
  await eventually('only it is left', async () => (await others()).length === 0).catch(() => {});
  expect(await others()).toEqual([]);
  // Such answers rest in the file of the first Redis, until it is written again.
  const first = new Redis(run.noted().find(({ name }) => name === 'redis')?.url ?? '');
  const kept = [...(await first.keys('*:answer*')), ...(await first.keys('*:kept-*'))];
  expect(kept).toContainEqual(expect.stringMatching(/:answer:post_[0-9a-f]{32}$/));
  await first.del(kept);
  first.disconnect();
  await rewriteFile();
  expect(onDisk()).toEqual([]);

  // and a stop while requests run
  const stopped = [text, image].map((messages) => ask({ messages, max_tokens: 2_000, ignore_eos: true, stream: true }));
  await Promise.all(stopped.map(({ begun }) => begun));
  process.kill(run.pid, 'SIGTERM');
  await run.ended;
  await Promise.all(stopped.map(({ ended }) => ended));
  expect(onDisk()).toEqual([]);
}, 240_000);
