import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import createClient from '@azure-rest/ai-inference';
import OpenAI, { RateLimitError } from 'openai';
import { call, type Call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { chunk, EVENT_STREAM, startScriptedStack, wholeAnswer, type ScriptedStack } from '../support/scripted-stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const folder = temporaryFolder();
const file = join(folder.path, 'keys.yaml');
const keys = new Map<string, string>();
let scripted: ScriptedStack;

async function create(id: string, ...options: string[]): Promise<void> {
  const made = await penstock(['keys', 'create', '--file', file, '--id', id, ...options]);
  keys.set(id, made.stdout.trim());
}
beforeAll(async () => {
  await create('requests', '--requests-per-minute', '40');
  await create('tokens', '--tokens-per-minute', '2000');
  await create('day', '--tokens-per-day', '300');
  await create('killed', '--requests-per-minute', '100', '--tokens-per-day', '5000');
  await create('queue', '--requests-per-minute', '10', '--waiting-jobs', '1');
  await create('leaver', '--tokens-per-day', '5000');
  await create('free');
  const gatewayEnv = { GATEWAY_KEYS_FILE: file };
  scripted = await startScriptedStack({ gateways: 3, gatewayEnv });
  scripted.script = (res) => void res.setHeader('content-type', 'application/json').end(wholeAnswer('hello', 7, 3));
}, 120_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function ask(id: string, gateway = 0, more: object = {}): Call {
  const body = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 99, ...more };
  const url = `${scripted.stack.gateways[gateway]?.url ?? ''}/v1/chat/completions`;
  return call(url, body, { authorization: `Bearer ${keys.get(id) ?? ''}` });
}
const burst = (id: string, count: number): Promise<Outcome[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => ask(id, n % 3).ended));
const statuses = (outcomes: readonly Outcome[], status: number): number =>
  outcomes.filter((outcome) => outcome.status === status).length;
const metric = async (name: string): Promise<number> => {
  let sum = 0;
  for (const gateway of scripted.stack.gateways) sum += await scripted.stack.metric(name, gateway);
  return sum;
};

test('requests a minute: three gateways let in exactly as many as the key may send, and say what is left', async () => {
  const outcomes = await burst('requests', 90);
  expect([statuses(outcomes, 200), statuses(outcomes, 429)]).toEqual([40, 50]);
  for (const { status, headers, body } of outcomes) {
    expect(headers['x-ratelimit-limit-requests']).toBe('40');
    expect(headers['x-ratelimit-reset-requests']).toMatch(/^(1m0s|[1-5]?\ds)$/);
    expect(headers['ratelimit-policy']).toBe('"requests";q=40;w=60');
    expect(headers['ratelimit']).toMatch(/^"requests";r=\d+;t=\d+$/);
    expect(headers['x-ratelimit-limit-tokens']).toBeUndefined();
    if (status === 200) continue;
    expect(headers['x-ratelimit-remaining-requests']).toBe('0');
    expect(headers['x-penstock-refusal']).toBe('requests_per_minute');
    const waitMs = Number(headers['retry-after-ms']);
    expect(waitMs).toBeGreaterThan(0);
    expect(headers['retry-after']).toBe(String(Math.ceil(waitMs / 1_000)));
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'rate_limit_exceeded', type: 'rate_limit_error' } });
  }
  const left = outcomes
    .filter(({ status }) => status === 200)
    .map((one) => one.headers['x-ratelimit-remaining-requests']);
  expect(new Set(left).size).toBe(40);
  expect(await metric('penstock_admission_total{outcome="limited_requests_per_minute"}')).toBe(50);
}, 60_000);

test('tokens a minute: an estimate of 100 lets 20 begin; what they really used lets more in', async () => {
  const first = await burst('tokens', 60);
  const begun = statuses(first, 200);
  // Some answers end before the last request comes, and give back what they did not use.
  expect(begun).toBeGreaterThanOrEqual(19);
  expect(first.find(({ status }) => status === 429)?.headers['x-penstock-refusal']).toBe('tokens_per_minute');
  const used = async (): Promise<string | null> =>
    scripted.stack.redis.client.get('penstock:limit:tokens_per_minute:tokens');
  await eventually('each counts the 10 tokens that it used', async () => (await used()) === String(begun * 10));
  const next = await ask('tokens').ended;
  expect(next.status).toBe(200);
  // The estimate stands while it runs: one token of prompt, rounded up, and the longest answer.
  expect(next.headers['x-ratelimit-remaining-tokens']).toBe(String(2_000 - begun * 10 - 100));
  const streamed = await ask('tokens', 1, { stream: true }).ended;
  expect(streamed.headers['ratelimit-policy']).toBe('"tokens";q=2000;qu="tokens";w=60');
}, 60_000);

test('a day’s limit that is used up ends in hours, so neither OpenAI’s nor Azure’s SDK tries again', async () => {
  const answer = scripted.script;
  scripted.script = (res) => void res.setHeader('content-type', 'application/json').end(wholeAnswer('hello', 7, 250));
  expect((await ask('day').ended).status).toBe(200);
  scripted.script = answer;
  const used = (): Promise<string | null> =>
    scripted.stack.redis.client.hget('penstock:limit:tokens_per_day:day', 'used');
  await eventually('the day has what it really used', async () => (await used()) === '257');
  const refusals = () => metric('penstock_admission_total{outcome="limited_tokens_per_day"}');
  const before = await refusals();
  const request = { model: MODEL, max_tokens: 99, messages: [{ role: 'user' as const, content: 'hi' }] };
  const key = keys.get('day') ?? '';
  const openai = new OpenAI({ baseURL: `${scripted.stack.url}/v1`, apiKey: key });
  const refused: unknown = await openai.chat.completions.create(request).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(RateLimitError);
  expect(refused).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  const azure = createClient(scripted.stack.url, { key }, { allowInsecureConnection: true });
  const { status, headers } = await azure.path('/chat/completions').post({ body: request });
  expect([status, headers['retry-after'], headers['x-should-retry']]).toEqual(['429', undefined, 'false']);
  expect(headers['x-ratelimit-remaining-tokens']).toBe('43');
  expect(headers['x-ratelimit-reset-tokens']).toMatch(/^(\d+h)?(\d+m)?\d+s$/);
  expect(await refusals()).toBe(before + 2);
  // A shorter answer still fits.
  expect((await ask('day', 1, { max_tokens: 40 }).ended).status).toBe(200);
}, 60_000);

test('a changed limit applies without a restart', async () => {
  expect((await ask('free').ended).headers['ratelimit']).toBeUndefined();
  await penstock(['keys', 'set', '--file', file, '--id', 'free', '--requests-per-minute', '1']);
  const limited = async (): Promise<boolean> => (await ask('free', 2).ended).status === 429;
  await eventually('the limit applies', limited, 10_000);
  await penstock(['keys', 'set', '--file', file, '--id', 'free', '--requests-per-minute', 'none']);
  await eventually('it is gone', async () => !(await limited()), 10_000);
}, 60_000);

test('a request that the queue refuses is given back', async () => {
  const redis = scripted.stack.redis.client;
  // As if another replica had one waiting.
  await redis.zadd(`{penstock:${MODEL}}:reservations:queue`, Date.now() + 60_000, 'g-other:10');
  const refused = await ask('queue').ended;
  expect(refused.body).toContain('waiting_jobs');
  expect(refused.headers['x-ratelimit-limit-requests']).toBe('10');
  const counter = 'penstock:limit:requests_per_minute:queue';
  await eventually('nothing is counted', async () => (await redis.get(counter)) === '0');
}, 60_000);

test('who leaves a stream pays the tokens that had arrived; who leaves a complete answer, the estimate', async () => {
  const redis = scripted.stack.redis.client;
  const used = (): Promise<string | null> => redis.hget('penstock:limit:tokens_per_day:leaver', 'used');
  const answer = scripted.script;
  const opening = chunk('');
  scripted.script = (res, { isStream }) =>
    isStream ? void res.writeHead(200, EVENT_STREAM).write(opening + chunk('one ') + chunk('two ')) : undefined;
  const streamed = ask('leaver', 0, { stream: true, max_tokens: 900 });
  await streamed.begun;
  streamed.leave('close');
  await eventually('prompt and two tokens count', async () => (await used()) === '3');
  const before = scripted.engine.requests.length;
  const whole = ask('leaver', 1, { max_tokens: 900 });
  await eventually('an engine works on it', () => scripted.engine.requests.length > before);
  whole.leave('close');
  await eventually('its estimate counts', async () => (await used()) === '904');
  scripted.script = answer;
}, 60_000);

test('a gateway that is killed leaves nothing of the day; what it counted in the minute lapses with it', async () => {
  const redis = scripted.stack.redis.client;
  const day = (): Promise<Record<string, string>> => redis.hgetall('penstock:limit:tokens_per_day:killed');
  const answer = scripted.script;
  scripted.script = (res) => void res.writeHead(200, EVENT_STREAM).write(chunk('one '));
  const running = Array.from({ length: 5 }, () => ask('killed', 2, { stream: true, max_tokens: 900 }));
  await Promise.all(running.map(({ begun }) => begun));
  expect(Object.keys(await day())).toHaveLength(3);
  const refused = await ask('killed', 0, { max_tokens: 900 }).ended;
  expect(refused.headers['x-penstock-refusal']).toBe('tokens_per_day');
  scripted.stack.gateways[2]?.child.kill('SIGKILL');
  await Promise.all(running.map(({ ended }) => ended));
  scripted.script = answer;
  const leftMs = await redis.pttl('penstock:limit:requests_per_minute:killed');
  expect(leftMs).toBeGreaterThan(0);
  expect(leftMs).toBeLessThanOrEqual(60_000);
  const isServed = async (): Promise<boolean> => (await ask('killed', 0, { max_tokens: 4_000 }).ended).status === 200;
  await eventually('the whole day is there again', isServed, 60_000);
  await eventually('only what was served counts', async () => {
    const { used, ...rest } = await day();
    return used === '10' && Object.keys(rest).length === 1;
  });
}, 120_000);
