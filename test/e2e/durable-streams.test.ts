import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { pause } from '../drill/processes.mjs';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

const GRACE_MS = 2_000;
const MODEL = 'Phi-3-vision-128k-instruct';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    gateways: 3,
    launchers: 2,
    twoRedis: true,
    gatewayEnv: { GATEWAY_DURABLE_GRACE_MS: String(GRACE_MS) },
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '20' },
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

/** Each test begins with gateways and engines that run. */
let urls: string[] = [];
beforeEach(async () => {
  await eventually('all engines are ready', async () => {
    const engines = (await stack.status()).workers.flatMap((worker) => worker.engines);
    return engines.length === 2 && engines.every(({ state }) => state === 'ready');
  });
  urls = stack.gateways
    .filter(({ child }) => child.exitCode === null && child.signalCode === null)
    .map(({ url }) => url);
});

let keys = 0;
const newKey = (): string => `key-${(keys += 1)}`;
const question = (tokens = 60) => ({
  messages: [{ role: 'user', content: 'Tell me of the harbour.' }],
  max_tokens: tokens,
  temperature: 0,
  stream: true,
});
/** The simulator would end it soon by itself. */
const endless = { ...question(4_000), ignore_eos: true };
interface Asked {
  readonly at?: number;
  readonly body?: object;
  readonly path?: string;
  readonly headers?: Record<string, string>;
}
const ask = (key: string, { at = 0, body = question(), path = '/v1/chat/completions', headers = {} }: Asked = {}) =>
  call(`${urls[at % urls.length]}${path}`, body, { 'idempotency-key': key, ...headers });
const codeOf = ({ body }: Outcome): unknown => (JSON.parse(body) as { error: { code: string } }).error.code;
/** The stream without comments: what a client keeps of it. */
const eventsOf = (text: string): string[] =>
  text
    .replaceAll(/^:.*\n+/gm, '')
    .split(/(?<=\n\n)/)
    .filter((event) => event !== '');
const lastIdOf = (events: readonly string[]): string => /^id: (.+)$/m.exec(events.at(-1) ?? '')?.[1] ?? '';
const textOf = (events: readonly string[]): string =>
  events
    .flatMap((event) => /^data: (\{.*)$/m.exec(event)?.[1] ?? [])
    .map(
      (json) => (JSON.parse(json) as { choices: { delta?: { content?: string } }[] }).choices[0]?.delta?.content ?? '',
    )
    .join('');
const isWhole = (events: readonly string[]): boolean => events.at(-1)?.endsWith('data: [DONE]\n\n') === true;
/** A client that loses its connection after some events. @returns the complete events that it has */
async function cutAfter(key: string, events: number, asked: Asked = {}): Promise<string[]> {
  const one = ask(key, asked);
  await eventually('some events', () => eventsOf(one.text()).length > events);
  one.leave('reset');
  await one.ended.catch(() => undefined);
  return eventsOf(one.text()).filter((event) => event.endsWith('\n\n'));
}
const slotsAreFree = (): Promise<unknown> =>
  eventually('no engine has a request', async () => (await stack.engineMetric('vllm:num_requests_running')) === 0);
const Dispatchers = z.object({ dispatchers: z.array(z.object({ pid: z.number() })) });
async function dispatchers(): Promise<number[]> {
  const pages = stack.launchers.map(async ({ internalUrl }) => (await fetch(`${internalUrl}/status`)).json());
  return (await Promise.all(pages)).flatMap((page) => Dispatchers.parse(page).dispatchers.map(({ pid }) => pid));
}
const runs = (): Promise<number> => stack.engineMetric('vllm:request_success_total');

test('a stream with an idempotency key has numbered events, and otherwise the bytes of one without', async () => {
  const plain = await call(`${urls[0]}/v1/chat/completions`, question()).ended;
  const events = eventsOf((await ask(newKey()).ended).body);
  expect(isWhole(events)).toBe(true);
  expect(textOf(events)).toBe(textOf(eventsOf(plain.body)));
  const ids = events.map((event) => /^id: ([0-9a-f]{8})-(\d+)\n/.exec(event));
  expect(ids.map((id) => Number(id?.[2]))).toEqual(events.map((_event, index) => index));
  expect(new Set(ids.map((id) => id?.[1])).size).toBe(1);
  // The log says of it what it says of others.
  const lines = await eventually('the log lines of both', () => {
    const all = (stack.gateways[0]?.output() ?? '').split('\n').filter((line) => line.includes('"event":"request"'));
    return all.length >= 2 && all.slice(-2);
  });
  for (const line of lines)
    expect(JSON.parse(line)).toMatchObject({ status: 200, completionTokens: 60, claimedMs: expect.any(Number) });
});

test('the same request, at any gateway, while it runs and later, gets the same bytes, and runs once', async () => {
  const before = await runs();
  const key = newKey();
  const first = ask(key);
  await eventually('it runs', () => first.text() !== '');
  const others = [0, 1, 2].map((at) => ask(key, { at }));
  const { body } = await first.ended;
  for (const other of others) expect((await other.ended).body).toBe(body);
  const late = await ask(key, { at: 1 }).ended;
  expect([late.status, late.body]).toEqual([200, body]);
  expect(await runs()).toBe(before + 1);
});

test('a client whose connection breaks goes on after its last event, at any gateway', async () => {
  const key = newKey();
  const first = await cutAfter(key, 10);
  const second = await cutAfter(key, 10, { at: 1, headers: { 'last-event-id': lastIdOf(first) } });
  const third = await ask(key, { at: 2, headers: { 'last-event-id': lastIdOf(second) } }).ended;
  const whole = eventsOf((await ask(key).ended).body);
  expect([...first, ...second, ...eventsOf(third.body)]).toEqual(whole);
  expect(isWhole(whole)).toBe(true);
  const none = await ask(key, { headers: { 'last-event-id': lastIdOf(whole) } }).ended;
  expect([none.status, none.body]).toEqual([200, '']);
});

test('a stream whose gateway is killed goes on within a second at another, and no engine is asked twice', async () => {
  const before = await runs();
  const doomed = await stack.startGateway({});
  urls = [doomed.url];
  const keysOfAll = Array.from({ length: 10 }, newKey);
  const all = keysOfAll.map((key) => ask(key, { body: question(200) }));
  await eventually('all have events', () => all.every((one) => eventsOf(one.text()).length > 5));
  doomed.child.kill('SIGKILL');
  await Promise.all(all.map((one) => one.ended.catch(() => undefined)));
  urls = [stack.url];
  const resumedAt = performance.now();
  const rests = all.map((one, n) => {
    const events = eventsOf(one.text()).filter((event) => event.endsWith('\n\n'));
    const rest = ask(keysOfAll[n] ?? '', { body: question(200), headers: { 'last-event-id': lastIdOf(events) } });
    return { events, rest };
  });
  await eventually('all go on', () => rests.every(({ rest }) => rest.text().includes('data: ')), 5_000);
  expect(performance.now() - resumedAt).toBeLessThan(2_000);
  for (const [n, { events, rest }] of rests.entries()) {
    const whole = [...events, ...eventsOf((await rest.ended).body)];
    expect(whole).toEqual(eventsOf((await ask(keysOfAll[n] ?? '', { body: question(200) }).ended).body));
    expect(isWhole(whole)).toBe(true);
  }
  expect(await runs()).toBe(before + 10);
}, 120_000);

test('a stream whose gateway and then engine are killed waits for no lease', async () => {
  const doomed = await stack.startGateway({});
  const others = urls;
  // It runs for longer than its adoption takes.
  const [key, body] = [newKey(), { ...question(1_000), ignore_eos: true }];
  urls = [doomed.url];
  const first = ask(key, { body });
  await eventually('it has events', () => eventsOf(first.text()).length > 5);
  doomed.child.kill('SIGKILL');
  await first.ended.catch(() => undefined);
  urls = others;
  const adopted = (): number =>
    stack.gateways.map(({ output }) => output().split('answer adopted').length).reduce((a, b) => a + b);
  const [before, askedAt] = [adopted(), performance.now()];
  const rest = ask(key, { body });
  await eventually('another gateway owns it', () => adopted() > before);
  // A lease is 15 s.
  expect(performance.now() - askedAt).toBeLessThan(11_000);
  const pid = await eventually('an engine has it', async () => {
    const engines = (await stack.status()).workers.flatMap((worker) => worker.engines);
    return engines.find(({ inFlight }) => inFlight.text > 0)?.pid;
  });
  process.kill(pid, 'SIGKILL');
  expect(isWhole(eventsOf((await rest.ended).body))).toBe(true);
}, 90_000);

test('an answer that is longer than the gateway keeps ends in an error that says so, and runs once', async () => {
  const small = await stack.startGateway({ GATEWAY_STORE_ANSWER_BYTES: '1500' });
  urls = [small.url];
  const long = { ...question(400), ignore_eos: true };
  const streamed = ask(newKey(), { body: long });
  // It comes in one piece, at the end.
  const whole = await ask(newKey(), { body: { ...long, stream: false } }).ended;
  expect([whole.status, codeOf(whole)]).toEqual([502, 'answer_too_long']);
  expect(eventsOf((await streamed.ended).body).at(-1)).toContain('"code":"answer_too_long"');
  expect(small.output()).not.toContain('"repeats"');
  await slotsAreFree();
}, 60_000);

test('a client whose gateway paused, and lost its stream to another, gets the rest of it', async () => {
  const slow = await stack.startGateway({});
  const others = urls;
  const rows = [
    ['/v1/chat/completions', question(300)],
    ['/v1/chat/completions', { ...question(300), stream: false }],
  ] as const;
  const keysOfAll = rows.map(newKey);
  urls = [slow.url];
  const first = rows.map(([path, body], n) => ask(keysOfAll[n] ?? '', { path, body }));
  await eventually('one has events', () => eventsOf(first[0]?.text() ?? '').length > 5);
  slow.child.kill('SIGSTOP');
  urls = others;
  const readers = rows.map(([path, body], n) => ask(keysOfAll[n] ?? '', { path, body }));
  for (const { ended } of readers) await ended;
  slow.child.kill('SIGCONT');
  for (const [n, reader] of readers.entries()) {
    const [own, other] = await Promise.all([first[n]?.ended, reader.ended]);
    expect([own?.status, eventsOf(own?.body ?? '')]).toEqual([200, eventsOf(other.body)]);
  }
}, 60_000);

test('a gateway that stops completes the streams of its clients', async () => {
  const leaving = await stack.startGateway({});
  urls = [leaving.url];
  const all = Array.from({ length: 5 }, () => ask(newKey(), { body: question(100) }));
  await eventually('all have events', () => all.every((one) => one.text() !== ''));
  leaving.child.kill('SIGTERM');
  for (const one of all) expect(isWhole(eventsOf((await one.ended).body))).toBe(true);
}, 60_000);

test('a stream whose engine is lost goes on, and all its readers have the same bytes', async () => {
  const plain = await call(`${urls[0]}/v1/chat/completions`, question(200)).ended;
  const key = newKey();
  const first = ask(key, { body: question(200) });
  const reader = ask(key, { body: question(200), at: 1 });
  const busy = await eventually('an engine has it, and words of it', async () => {
    const engines = (await stack.status()).workers.flatMap((worker) => worker.engines);
    return eventsOf(first.text()).length > 20 && engines.find(({ inFlight }) => inFlight.text > 0);
  });
  if (busy.pid !== null) process.kill(busy.pid, 'SIGKILL');
  const [one, two] = await Promise.all([first.ended, reader.ended]);
  expect(textOf(eventsOf(one.body))).toBe(textOf(eventsOf(plain.body)));
  expect(isWhole(eventsOf(one.body))).toBe(true);
  expect(eventsOf(two.body)).toEqual(eventsOf(one.body));
  expect(eventsOf((await ask(key, { body: question(200), at: 2 }).ended).body)).toEqual(eventsOf(one.body));
}, 120_000);

test('streams whose dispatchers paused until they were given up go on; what came late is in none of them twice', async () => {
  const keysOfAll = Array.from({ length: 6 }, newKey);
  const body = { ...question(700), ignore_eos: true };
  const all = [0, 1].map((at) => keysOfAll.map((key) => ask(key, { at, body })));
  await eventually('all have events', () => all.flat().every((one) => eventsOf(one.text()).length > 30));
  const pids = await dispatchers();
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  // To go on, an engine must count the tokens of each.
  await eventually('they are given up', async () => {
    const waiting = ['wait', 'prioritized'].map(async (name) =>
      stack.redis.client.exists(`{penstock:${MODEL}}:text:${name}`),
    );
    return (await Promise.all(waiting)).includes(1);
  });
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  const [first = [], readers = []] = all;
  for (const [n, key] of keysOfAll.entries()) {
    const events = eventsOf((await first[n]?.ended)?.body ?? '');
    expect([textOf(events), isWhole(events)]).toEqual([textOf(eventsOf(first[0]?.text() ?? '')), true]);
    expect(eventsOf((await readers[n]?.ended)?.body ?? '')).toEqual(events);
    expect(eventsOf((await ask(key, { at: 1, body }).ended).body)).toEqual(events);
  }
}, 90_000);

test('a stream whose clients left for good ends after the grace time, and its key is free', async () => {
  const all = Array.from({ length: 10 }, newKey);
  await Promise.all(all.map((key) => cutAfter(key, 3, { body: endless })));
  const leftAt = performance.now();
  await slotsAreFree();
  expect(performance.now() - leftAt).toBeGreaterThan(GRACE_MS / 2);
  expect(performance.now() - leftAt).toBeLessThan(GRACE_MS + 5_000);
  const again = ask(all[0] ?? '', { body: endless, headers: { 'x-penstock-on-disconnect': 'cancel' } });
  await eventually('it runs again', () => again.text().includes('data: '));
  expect(await stack.engineMetric('vllm:num_requests_running')).toBe(1);
  again.leave('reset');
  await again.ended.catch(() => undefined);
  await slotsAreFree();
}, 60_000);

test('a client says what becomes of its stream when it leaves', async () => {
  const body = endless;
  await cutAfter(newKey(), 3, { body, headers: { 'x-penstock-on-disconnect': 'cancel' } });
  const leftAt = performance.now();
  await slotsAreFree();
  expect(performance.now() - leftAt).toBeLessThan(GRACE_MS);
  const key = newKey();
  const short = question(250);
  const events = await cutAfter(key, 3, { body: short, headers: { 'x-penstock-on-disconnect': 'continue' } });
  // Without a reader, for longer than the grace time.
  await slotsAreFree();
  const rest = await ask(key, { body: short, at: 1, headers: { 'last-event-id': lastIdOf(events) } }).ended;
  expect(isWhole(eventsOf(rest.body))).toBe(true);
  for (const one of [newKey(), key]) {
    for (const name of ['x-penstock-on-disconnect', 'x-penstock-deadline-ms']) {
      const odd = await ask(one, { body: short, headers: { [name]: 'stay' } }).ended;
      expect([odd.status, codeOf(odd)]).toEqual([400, 'invalid_request']);
    }
  }
  const { status } = await call(`${urls[0]}/v1/chat/completions`, question(), {
    'x-penstock-on-disconnect': 'continue',
  }).ended;
  expect(status).toBe(400);
}, 60_000);

test('a stream is cancelled by its key, at any gateway, at any time; its key is free then', async () => {
  const path = '/v1/chat/completions';
  const key = newKey();
  const body = endless;
  const first = ask(key, { body });
  await eventually('it runs', () => first.text().includes('data: '));
  const cancelled = await ask(key, { at: 1, path: `${path}/cancel`, body: {} }).ended;
  expect([cancelled.status, JSON.parse(cancelled.body)]).toMatchObject([200, { status: 'cancelled' }]);
  await slotsAreFree();
  expect((await first.ended).body).toContain('the answer was cancelled');
  const again = ask(key, { body, headers: { 'x-penstock-on-disconnect': 'cancel' } });
  await eventually('it runs again', () => again.text().includes('data: '));
  expect(await stack.engineMetric('vllm:num_requests_running')).toBe(1);
  again.leave('reset');
  await again.ended;
  await slotsAreFree();
  const other = newKey();
  await ask(other).ended;
  // The first client may have the whole before Redis knows of the end; a reader elsewhere has it from there.
  await ask(other, { at: 2 }).ended;
  const over = await ask(other, { at: 2, path: `${path}/cancel`, body: {} }).ended;
  expect([over.status, JSON.parse(over.body)]).toMatchObject([200, { status: 'completed' }]);
  const none = await ask(newKey(), { path: `${path}/cancel`, body: {} }).ended;
  expect([none.status, codeOf(none)]).toEqual([404, 'answer_not_found']);
  expect((await call(`${urls[0]}${path}/cancel`, {}).ended).status).toBe(400);
});

test('a reader at another gateway keeps a stream alive, and one that leaves does not delay its end', async () => {
  const key = newKey();
  const headers = { 'x-penstock-on-disconnect': 'cancel' };
  const first = ask(key, { body: endless, headers });
  await eventually('it runs', () => first.text().includes('data: '));
  const reader = ask(key, { body: endless, at: 1 });
  await eventually('it is read', () => reader.text().includes('data: '));
  first.leave('reset');
  await first.ended;
  const before = reader.text().length;
  await eventually('the reader gets more', () => reader.text().length > before + 20_000);
  reader.leave('reset');
  const leftAt = performance.now();
  await reader.ended;
  await slotsAreFree();
  expect(performance.now() - leftAt).toBeLessThan(5_000);
});

test('a pause of Redis for longer than a lease ends no stream', async () => {
  const keysOfAll = [newKey(), newKey(), newKey()];
  const body = question(250);
  const all = keysOfAll.map((key) => ask(key, { body }));
  // A request that comes first begins the stream, and its client loses the connection.
  await eventually('all have begun', () => all.every((one) => one.text().includes('data: ')));
  const readers = keysOfAll.map((key) => ask(key, { body, at: 1 }));
  await eventually('all are read', () => readers.every((one) => one.text().includes('data: ')));
  process.kill(stack.redis.pid, 'SIGSTOP');
  await pause(17_000);
  process.kill(stack.redis.pid, 'SIGCONT');
  for (const [n, reader] of readers.entries()) {
    const events = eventsOf((await reader.ended).body);
    expect(events.at(-1)).toContain('[DONE]');
    expect(eventsOf((await all[n]?.ended)?.body ?? '')).toEqual(events);
  }
}, 90_000);

test('another body, another event or no key is refused', async () => {
  const key = newKey();
  const events = eventsOf((await ask(key).ended).body);
  const other = await ask(key, { body: question(61) }).ended;
  expect([other.status, codeOf(other)]).toEqual([422, 'idempotency_mismatch']);
  const refused = [
    await ask(key, { headers: { 'last-event-id': '17' } }).ended,
    await ask(key, { headers: { 'last-event-id': '00000000-3' } }).ended,
    await ask(key, { headers: { 'last-event-id': lastIdOf(events).replace(/\d+$/, '9999') } }).ended,
    await ask(newKey(), { headers: { 'last-event-id': lastIdOf(events) } }).ended,
    await call(`${urls[0]}/v1/chat/completions`, question(), { 'last-event-id': lastIdOf(events) }).ended,
  ];
  for (const outcome of refused) {
    expect([outcome.status, codeOf(outcome)]).toEqual([400, 'invalid_request']);
    expect(outcome.body).toContain('last-event-id');
  }
});

test('other APIs’ streams can be had again too, without ids where their SDKs take none', async () => {
  const completions = { prompt: 'The harbour', max_tokens: 30, stream: true };
  const message = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 30, stream: true };
  const rows = [
    ['/v1/completions', completions, true],
    [`/openai/deployments/${MODEL}/chat/completions?api-version=2024-10-21`, question(30), true],
    ['/chat/completions', question(30), false],
    ['/v1/messages', message, false],
  ] as const;
  for (const [path, body, hasIds] of rows) {
    const key = newKey();
    const first = await ask(key, { path, body }).ended;
    expect([path, first.status, first.body]).toEqual([path, 200, expect.stringContaining('data: ')]);
    expect([path, /^id: /m.test(first.body)]).toEqual([path, hasIds]);
    expect((await ask(key, { path, body, at: 1 }).ended).body).toBe(first.body);
  }
});

test('an answer in one piece outlives its gateway too, and each client of it gets the same bytes', async () => {
  const before = await runs();
  const others = urls;
  const doomed = await stack.startGateway({});
  urls = [doomed.url];
  const body = { ...question(150), stream: false };
  const score = { input_data: { input_string: body.messages, parameters: { max_new_tokens: 150 } } };
  const rows = [
    ['/v1/chat/completions', body],
    ['/v1/completions', { prompt: 'The harbour', max_tokens: 150 }],
    ['/chat/completions', body],
    ['/v1/messages', { ...body, model: MODEL }],
    ['/score', score],
  ] as const;
  const keysOfAll = rows.map(newKey);
  const first = rows.map(([path, one], n) => ask(keysOfAll[n] ?? '', { path, body: one }));
  await eventually('all run', async () => (await stack.engineMetric('vllm:num_requests_running')) === rows.length);
  doomed.child.kill('SIGKILL');
  for (const { ended } of first) expect((await ended).status).toBe(0);
  urls = others;
  const all = rows.map(([path, one], n) =>
    [0, 1].map((at) => ask(keysOfAll[n] ?? '', { path, body: one, at: at + n })),
  );
  for (const [n, pair] of all.entries()) {
    const [one, two] = await Promise.all(pair.map(({ ended }) => ended));
    expect([rows[n]?.[0], one?.status, one?.body]).toEqual([rows[n]?.[0], 200, two?.body]);
  }
  expect(await runs()).toBe(before + rows.length);
  const plain = await call(`${urls[0]}/v1/chat/completions`, body).ended;
  const text = (outcome: Outcome | undefined): unknown =>
    (JSON.parse(outcome?.body ?? '') as { choices: { message: { content: string } }[] }).choices[0]?.message.content;
  expect(text(await all[0]?.[0]?.ended)).toBe(text(plain));
}, 60_000);

test('OpenAI SDK: a stream with the header, its events with ids and the comments between them', async () => {
  const client = new OpenAI({ baseURL: `${urls[0]}/v1`, apiKey: 'unused', maxRetries: 0 });
  const stream = await client.chat.completions.create(
    {
      model: MODEL,
      messages: [{ role: 'user', content: 'Tell me of the harbour.' }],
      max_tokens: 60,
      temperature: 0,
      stream: true,
    },
    { headers: { 'Idempotency-Key': newKey(), 'X-Penstock-Progress': '1' } },
  );
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toBe(textOf(eventsOf((await ask(newKey()).ended).body)));
});
