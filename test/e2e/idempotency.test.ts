import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  startScriptedStack,
  wholeAnswer,
  type ScriptedStack,
} from '../support/scripted-stack.ts';

let scripted: ScriptedStack;
/** number of the engine's answers */
let runs = 0;
let gate: Promise<void> = Promise.resolve();
let open: () => void = () => {};
function shut(): void {
  gate = new Promise((resolve) => {
    open = resolve;
  });
}
beforeAll(async () => {
  scripted = await startScriptedStack({ gateways: 2, twoRedis: true });
  scripted.script = async (res, { text, isStream }) => {
    await gate;
    runs += 1;
    if (text === 'fail') res.writeHead(500).end('{"error":{"message":"no"}}');
    else if (isStream) res.writeHead(200, EVENT_STREAM).end(chunk('hello', 'stop') + DONE);
    else {
      res.setHeader('content-type', 'application/json');
      res.end(wholeAnswer(text === 'long' ? 'x'.repeat(300_000) : `run ${runs}`));
    }
  };
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

const HI = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 9 };
const url = (replica: number): string => scripted.stack.gateways[replica]?.url ?? '';
const ask = (key: string, body: object = HI, replica = 0, path = '/v1/chat/completions') =>
  call(url(replica) + path, body, { 'idempotency-key': key });
const codeOf = ({ body }: Outcome): unknown => (JSON.parse(body) as { error: { code: string } }).error.code;
const records = () => scripted.stack.redis.client.keys('penstock:once:*');

/** TTL of the key of the one running request */
async function heldMs(): Promise<number> {
  const { client } = scripted.stack.redis;
  for (const record of await records())
    if ((await client.hget(record, 'state')) === 'running') return client.pttl(record);
  throw new Error('no key is held');
}

test('a request repeated with its idempotency key, also to another replica, gets the same answer and does not run again', async () => {
  const first = await ask('a', { ...HI, user: 'me' }).ended;
  const before = runs;
  for (const replica of [0, 1]) {
    const again = await ask('a', { ...HI, user: 'me' }, replica).ended;
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect(again.headers).toMatchObject({ 'idempotent-replayed': 'true', 'x-penstock-ignored': 'user' });
    expect(again.headers['content-type']).toBe(first.headers['content-type']);
  }
  expect(first.headers['idempotent-replayed']).toBeUndefined();
  expect(runs).toBe(before);
});

test('while the first runs, the second gets a conflict, at both replicas; of many concurrent ones only one runs', async () => {
  shut();
  const before = runs;
  const asked = scripted.engine.requests.length;
  const all = Array.from({ length: 10 }, (_, n) => ask('b', HI, n % 2));
  await eventually('one of them runs', () => scripted.engine.requests.length > asked);
  expect(await heldMs()).toBeLessThanOrEqual(15_000);
  open();
  const outcomes = await Promise.all(all.map(({ ended }) => ended));
  const refused = outcomes.filter(({ status }) => status === 409);
  expect(outcomes.filter(({ status }) => status === 200).length + refused.length).toBe(10);
  expect(refused.length).toBeGreaterThan(0);
  for (const outcome of refused) {
    expect(codeOf(outcome)).toBe('idempotency_conflict');
    expect(outcome.headers['x-should-retry']).toBe('true');
  }
  expect(runs).toBe(before + 1);
});

test('OpenAI SDK: the SDK retries an early repeat until the answer exists', async () => {
  shut();
  const client = new OpenAI({ baseURL: `${url(1)}/v1`, apiKey: 'unused', maxRetries: 5 });
  const model = 'Phi-3-vision-128k-instruct';
  const messages = [{ role: 'user' as const, content: 'hi' }];
  const options = { headers: { 'Idempotency-Key': 'sdk' } };
  const before = scripted.engine.requests.length;
  const one = client.chat.completions.create({ model, messages }, options);
  await eventually('it runs', () => scripted.engine.requests.length > before);
  const two = client.chat.completions.create({ model, messages }, options);
  const log = (): string => scripted.stack.gateways[1]?.output() ?? '';
  const told = log().split('idempotency_conflict').length;
  await eventually('the second got a conflict', () => log().split('idempotency_conflict').length > told);
  open();
  expect((await two).choices).toEqual((await one).choices);
});

test('another body, another caller’s path or no key at all are other requests', async () => {
  await ask('c').ended;
  const other = await ask('c', { ...HI, max_tokens: 8 }).ended;
  expect([other.status, codeOf(other)]).toEqual([422, 'idempotency_mismatch']);
  expect(JSON.parse(other.body)).toMatchObject({ error: { param: 'idempotency-key' } });
  const before = runs;
  const score = { input_data: { input_string: HI.messages } };
  expect((await ask('c', score, 0, '/score').ended).status).toBe(200);
  expect((await ask('c', score, 0, '/score').ended).headers['idempotent-replayed']).toBe('true');
  const stored = (await records()).length;
  await call(`${url(0)}/v1/chat/completions`, HI).ended;
  expect(runs).toBe(before + 2);
  expect((await records()).length).toBe(stored);
});

test('the same body with another header that changes its meaning is another request', async () => {
  const send = (headers: Record<string, string>) =>
    call(`${url(0)}/chat/completions`, HI, { 'idempotency-key': 'decided', ...headers }).ended;
  expect((await send({ 'extra-parameters': 'drop' })).status).toBe(200);
  expect((await send({ 'extra-parameters': 'drop' })).headers['idempotent-replayed']).toBe('true');
  for (const headers of [{}, { 'extra-parameters': 'error' }, { 'x-ms-model-mesh-model-name': 'azureai' }]) {
    const other = await send(headers);
    expect([other.status, codeOf(other)]).toEqual([422, 'idempotency_mismatch']);
  }
});

test('a stream, or a very long answer, is not kept: a repeat gets an error and does not run', async () => {
  for (const [key, body] of [
    ['d', { ...HI, stream: true }],
    ['e', { ...HI, messages: [{ role: 'user', content: 'long' }] }],
  ] as const) {
    expect((await ask(key, body).ended).status).toBe(200);
    const before = runs;
    const again = await ask(key, body).ended;
    expect([again.status, codeOf(again)]).toEqual([409, 'idempotency_spent']);
    expect(again.headers['x-should-retry']).toBe('false');
    expect(runs).toBe(before);
  }
});

test('N12: the Redis of the answers returns empty: a repeat gets an error and does not run', async () => {
  const { replyRedis } = scripted.stack;
  const first = await ask('i').ended;
  expect((await ask('i').ended).body).toBe(first.body);
  const before = runs;
  await replyRedis.client.del(await replyRedis.client.keys('penstock:once-answer:*'));
  for (const replica of [0, 1]) {
    const again = await ask('i', HI, replica).ended;
    expect([again.status, codeOf(again)]).toEqual([409, 'idempotency_spent']);
  }
  expect(runs).toBe(before);
});

test('N12: the Redis of the answers accepts none: the answer is sent, but not kept', async () => {
  const { client } = scripted.stack.replyRedis;
  shut();
  const asked = scripted.engine.requests.length;
  const first = ask('j');
  await eventually('it runs', () => scripted.engine.requests.length > asked);
  // Replies still pass, because the client waits for them.
  await client.call('ACL', 'SETUSER', 'default', 'resetkeys', '~*:replies:*', '~*:body:*');
  open();
  expect((await first.ended).status).toBe(200);
  await client.call('ACL', 'SETUSER', 'default', 'allkeys');
  const again = await ask('j').ended;
  expect([again.status, codeOf(again)]).toEqual([409, 'idempotency_spent']);
});

test('a refusal frees the key; a failure after a run is returned again', async () => {
  const bad = { ...HI, max_tokens: 100_000 };
  for (let i = 0; i < 2; i += 1) expect((await ask('f', bad).ended).status).toBe(400);
  expect((await ask('f').ended).status).toBe(200);
  const failing = { ...HI, messages: [{ role: 'user', content: 'fail' }] };
  const first = await ask('g', failing).ended;
  const before = runs;
  const again = await ask('g', failing).ended;
  expect([again.status, again.body]).toEqual([502, first.body]);
  expect(runs).toBe(before);
});

test('a client that left before the answer may repeat the request; a too long key is refused', async () => {
  shut();
  const before = scripted.engine.requests.length;
  const left = ask('h');
  await eventually('it runs', () => scripted.engine.requests.length > before);
  left.leave('close');
  await left.ended;
  await eventually('the key is free', async () => {
    const again = ask('h');
    await eventually('it gets an answer or runs', () => scripted.engine.requests.length > before + 1).catch(() => {});
    open();
    return (await again.ended).status === 200;
  });
  const long = await ask('x'.repeat(256)).ended;
  expect([long.status, codeOf(long)]).toEqual([431, 'header_too_long']);
});

test('stored data has a TTL, and contains neither key nor prompt', async () => {
  const client = scripted.stack.redis.client;
  for (const record of await records()) {
    expect(record).toMatch(/^penstock:once:[0-9a-f]{64}$/);
    expect(await client.pttl(record)).toBeGreaterThan(0);
    expect(JSON.stringify(await client.hgetall(record))).not.toContain('"hi"');
  }
  const { client: answers } = scripted.stack.replyRedis;
  const kept = await answers.keys('penstock:once-answer:*');
  expect(kept.length).toBeGreaterThan(0);
  for (const answer of kept) expect(await answers.pttl(answer)).toBeGreaterThan(0);
  expect(await client.keys('*:once-answer:*')).toEqual([]);
});
