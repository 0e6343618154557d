import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { call, type Call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  startScriptedStack,
  wholeAnswer,
  type ScriptedStack,
} from '../support/scripted-stack.ts';

/** A route whose answers end with their connection, unless their caller asks to keep them. */
const RESPONSES = '/v1/responses';
const HI_RESPONSES = { input: 'hi', max_output_tokens: 9 };
const response = (text: string): string =>
  JSON.stringify({
    id: 'resp_scripted',
    object: 'response',
    created_at: 1,
    model: 'Phi-3-vision-128k-instruct',
    status: 'completed',
    output: [
      {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text, annotations: [] }],
      },
    ],
    usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
  });
const completed = (text: string): string =>
  `event: response.completed\ndata: ${JSON.stringify({ type: 'response.completed', sequence_number: 0, response: JSON.parse(response(text)) })}\n\n`;

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
    else if (isStream && res.req.url === RESPONSES) res.writeHead(200, EVENT_STREAM).end(completed('hello'));
    else if (text === 'no end') res.writeHead(200, EVENT_STREAM).end(chunk('hello', 'stop'));
    else if (isStream) res.writeHead(200, EVENT_STREAM).end(chunk('hello', 'stop') + DONE);
    else {
      const said = text === 'long' ? 'x'.repeat(300_000) : `run ${runs}`;
      res.setHeader('content-type', 'application/json');
      res.end(res.req.url === RESPONSES ? response(said) : wholeAnswer(said));
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
const askResponse = (key: string, replica = 0) => ask(key, HI_RESPONSES, replica, RESPONSES);
const codeOf = ({ body }: Outcome): unknown => (JSON.parse(body) as { error: { code: string } }).error.code;
const records = () => scripted.stack.redis.client.keys('penstock:once:*');

/** A client that leaves while its request runs. @returns how often the engine was asked before */
async function leaveRunning(begin: () => Call): Promise<number> {
  shut();
  const before = scripted.engine.requests.length;
  const left = begin();
  await eventually('it runs', () => scripted.engine.requests.length > before);
  left.leave('close');
  await left.ended;
  return before;
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

test('while the first runs, the others wait for its answer, at both replicas; only one runs', async () => {
  shut();
  const before = runs;
  const asked = scripted.engine.requests.length;
  const all = Array.from({ length: 10 }, (_, n) => ask('b', HI, n % 2));
  await eventually('one of them runs', () => scripted.engine.requests.length > asked);
  open();
  const outcomes = await Promise.all(all.map(({ ended }) => ended));
  for (const { status, body } of outcomes) expect([status, body]).toEqual([200, outcomes[0]?.body]);
  expect(outcomes.filter(({ headers }) => headers['idempotent-replayed'] === 'true')).toHaveLength(9);
  expect(runs).toBe(before + 1);
});

test('OpenAI SDK: an early repeat gets the answer of the first', async () => {
  shut();
  const client = new OpenAI({ baseURL: `${url(1)}/v1`, apiKey: 'unused', maxRetries: 0 });
  const model = 'Phi-3-vision-128k-instruct';
  const messages = [{ role: 'user' as const, content: 'hi' }];
  const options = { headers: { 'Idempotency-Key': 'sdk' } };
  const before = scripted.engine.requests.length;
  const one = client.chat.completions.create({ model, messages }, options);
  await eventually('it runs', () => scripted.engine.requests.length > before);
  const two = client.chat.completions.create({ model, messages }, options);
  open();
  expect((await two).choices).toEqual((await one).choices);
  expect(scripted.engine.requests.length).toBe(before + 1);
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

test('a long answer comes again too', async () => {
  const body = { ...HI, messages: [{ role: 'user', content: 'long' }] };
  const first = await ask('e', body).ended;
  const before = runs;
  const again = await ask('e', body, 1).ended;
  expect([again.status, again.body]).toEqual([200, first.body]);
  expect(runs).toBe(before);
});

test('on /v1/responses a stream is not kept: a repeat gets an error and does not run', async () => {
  const body = { ...HI_RESPONSES, stream: true };
  await ask('r', body, 0, RESPONSES).ended;
  const before = runs;
  const again = await ask('r', body, 0, RESPONSES).ended;
  expect([again.status, codeOf(again)]).toEqual([409, 'idempotency_spent']);
  expect(again.headers['x-should-retry']).toBe('false');
  expect(runs).toBe(before);
});

test('a stream is kept, and comes again with all its bytes', async () => {
  const first = await ask('d', { ...HI, stream: true }).ended;
  const before = runs;
  for (const replica of [0, 1]) {
    const again = await ask('d', { ...HI, stream: true }, replica).ended;
    expect([again.status, again.body, again.headers['idempotent-replayed']]).toEqual([200, first.body, 'true']);
  }
  expect(runs).toBe(before);
});

test('a stream whose end the gateway wrote comes again with its end', async () => {
  const body = { messages: [{ role: 'user', content: 'no end' }], max_tokens: 9, stream: true };
  shut();
  const asked = scripted.engine.requests.length;
  const first = ask('l', body);
  await eventually('it runs', () => scripted.engine.requests.length > asked);
  const reader = ask('l', body, 1);
  open();
  const { body: text } = await first.ended;
  expect(text).toMatch(/data: \[DONE\]\n\n$/);
  expect((await reader.ended).body).toBe(text);
  expect((await ask('l', body, 1).ended).body).toBe(text);
});

test('N12: the Redis of the answers returns empty: a repeat gets an error and does not run', async () => {
  const { replyRedis } = scripted.stack;
  const first = await askResponse('i').ended;
  expect((await askResponse('i').ended).body).toBe(first.body);
  const before = runs;
  await replyRedis.client.del(await replyRedis.client.keys('penstock:once-answer:*'));
  for (const replica of [0, 1]) {
    const again = await askResponse('i', replica).ended;
    expect([again.status, codeOf(again)]).toEqual([409, 'idempotency_spent']);
  }
  expect(runs).toBe(before);
});

test('N12: the Redis of the answers accepts none: the answer is sent, but not kept', async () => {
  const { client } = scripted.stack.replyRedis;
  shut();
  const asked = scripted.engine.requests.length;
  const first = askResponse('j');
  await eventually('it runs', () => scripted.engine.requests.length > asked);
  // Replies still pass, because the client waits for them.
  await client.call('ACL', 'SETUSER', 'default', 'resetkeys', '~*:replies:*', '~*:body:*');
  open();
  expect((await first.ended).status).toBe(200);
  await client.call('ACL', 'SETUSER', 'default', 'allkeys');
  const again = await askResponse('j').ended;
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

test('a client that left before the answer gets it with the same request; a too long key is refused', async () => {
  const before = await leaveRunning(() => ask('h'));
  const again = ask('h', HI, 1);
  open();
  expect((await again.ended).status).toBe(200);
  expect(scripted.engine.requests.length).toBe(before + 1);
  const long = await ask('x'.repeat(256)).ended;
  expect([long.status, codeOf(long)]).toEqual([431, 'header_too_long']);
});

test('on /v1/responses a client that left may send the request again', async () => {
  const before = await leaveRunning(() => askResponse('k'));
  const again = askResponse('k', 1);
  await eventually('it runs again', () => scripted.engine.requests.length > before + 1);
  open();
  expect((await again.ended).status).toBe(200);
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
