import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const Answer = z.looseObject({
  id: z.string(),
  status: z.string(),
  background: z.boolean(),
  store: z.boolean(),
  metadata: z.unknown(),
  error: z.looseObject({ code: z.string() }).nullish(),
  output: z.array(z.looseObject({ content: z.array(z.looseObject({ text: z.string() })).optional() })),
});
type Answer = z.infer<typeof Answer>;
const Refused = z.object({ error: z.looseObject({ message: z.string(), param: z.string().nullable() }) });
const Event = z.looseObject({ type: z.string(), sequence_number: z.number() });

const folder = temporaryFolder();
const keys = new Map<string, string>();
let stack: Stack;
beforeAll(async () => {
  const file = `${folder.path}/keys.yaml`;
  for (const [id, ...options] of [['mine'], ['other'], ['limited', '--tokens-per-day', '99999']] as const)
    keys.set(id, (await penstock(['keys', 'create', '--file', file, '--id', id, ...options])).stdout.trim());
  stack = await startStack({
    gateways: 3,
    launchers: 2,
    twoRedis: true,
    gatewayEnv: { GATEWAY_KEYS_FILE: file },
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '20' },
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** Each test begins with gateways that run. */
let urls: string[] = [];
beforeEach(() => {
  urls = stack.gateways
    .filter(({ child }) => child.exitCode === null && child.signalCode === null)
    .map(({ url }) => url);
});

async function http(method: string, path: string, options: { body?: object; key?: string; at?: number } = {}) {
  const { body, key = 'mine', at = 0 } = options;
  const headers = { authorization: `Bearer ${keys.get(key) ?? ''}`, 'content-type': 'application/json' };
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(`${urls[at % urls.length]}${path}`, init);
  return { status: response.status, text: await response.text(), headers: response.headers };
}
const question = { input: 'Tell me of the harbour.', max_output_tokens: 40, background: true };
const start = async (more: object = {}, at = 0, key = 'mine'): Promise<Answer> => {
  const { status, text } = await http('POST', '/v1/responses', { body: { ...question, ...more }, at, key });
  expect([status, text]).toEqual([200, text]);
  return Answer.parse(JSON.parse(text));
};
const read = async (id: string, at = 0): Promise<Answer> => {
  const { status, text } = await http('GET', `/v1/responses/${id}`, { at });
  expect([status, text]).toEqual([200, text]);
  return Answer.parse(JSON.parse(text));
};
const over = (id: string, at = 0): Promise<Answer> =>
  eventually('the answer is over', async () => {
    const answer = await read(id, at);
    return ['queued', 'in_progress'].includes(answer.status) ? undefined : answer;
  });
/** Entries of a running answer's log: one per word, and a few more. */
const redisTokens = (id: string): Promise<number> =>
  stack.redis.client.xlen(`{penstock:Phi-3-vision-128k-instruct}:answer-log:${id}`);
const textOf = (answer: Answer): string =>
  answer.output
    .flatMap(({ content }) => content ?? [])
    .map(({ text }) => text)
    .join('');
const eventsOf = (text: string) =>
  text
    .split('\n\n')
    .filter((event) => event.startsWith('event: '))
    .map((event) => Event.parse(JSON.parse(event.slice(event.indexOf('data: ') + 6))));

test('a background answer is queued, then completed, and the same at each gateway', async () => {
  const begun = await start({ metadata: { order: '7' } });
  expect(begun).toMatchObject({ status: 'queued', background: true, store: false, metadata: { order: '7' } });
  const done = await over(begun.id, 1);
  // Its length is limited.
  expect(done).toMatchObject({ id: begun.id, status: 'incomplete', background: true, metadata: { order: '7' } });
  const { text } = await http('POST', '/v1/responses', { body: { ...question, background: false } });
  expect(textOf(done)).toBe(textOf(Answer.parse({ ...JSON.parse(text), store: false, background: false })));
  expect(await read(begun.id, 2)).toEqual(done);
});

test('readers of one answer get the same events, numbered without a gap, from any event on', async () => {
  const { id } = await start();
  const path = `/v1/responses/${id}?stream=true`;
  const early = await Promise.all([0, 1, 2].map((at) => http('GET', path, { at })));
  const late = await http('GET', path, { at: 1 });
  const events = eventsOf(late.text);
  expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_event, index) => index));
  expect(events.slice(0, 2).map(({ type }) => type)).toEqual(['response.created', 'response.queued']);
  expect(events.at(-1)?.type).toBe('response.completed');
  // OpenAI's Agents SDK throws at a list in the usage.
  expect(late.text).toContain('"output_tokens_details":{');
  expect(late.text).not.toContain('_per_turn');
  for (const { text } of early) expect(text).toBe(late.text);
  const rest = await http('GET', `${path}&starting_after=5`, { at: 2 });
  expect(eventsOf(rest.text)).toEqual(events.slice(6));
  const none = await http('GET', `${path}&starting_after=${events.length - 1}`);
  expect([none.status, eventsOf(none.text)]).toEqual([200, []]);
  const list = await http('GET', `/v1/responses/${id}?stream[]=true`);
  expect([list.status, Refused.parse(JSON.parse(list.text)).error.param]).toEqual([400, 'stream[]']);
  const tooFar = await http('GET', `${path}&starting_after=${events.length}`);
  expect([tooFar.status, Refused.parse(JSON.parse(tooFar.text)).error.param]).toEqual([400, 'starting_after']);
});

test('a stream that is started in the background is the stream that can be read again', async () => {
  const { text } = await http('POST', '/v1/responses', { body: { ...question, stream: true } });
  const created = z.object({ response: Answer }).parse(eventsOf(text)[0]);
  const again = await http('GET', `/v1/responses/${created.response.id}?stream=true`, { at: 1 });
  expect(again.text).toBe(text);
});

test('an answer that is over is kept packed, and its events are the same', async () => {
  const { id } = await start({ max_output_tokens: 400 });
  await over(id);
  const path = `/v1/responses/${id}?stream=true`;
  const before = await http('GET', path);
  const [log, archive] = ['answer-log', 'answer-archive'].map(
    (kind) => `{penstock:Phi-3-vision-128k-instruct}:${kind}:${id}`,
  );
  await eventually('it is packed', async () => (await stack.redis.client.exists(archive ?? '')) === 1);
  expect(await stack.redis.client.pttl(log ?? '')).toBeLessThanOrEqual(60_000);
  expect(await stack.redis.client.strlen(archive ?? '')).toBeLessThan(before.text.length / 5);
  await stack.redis.client.del(log ?? '');
  expect((await http('GET', path, { at: 1 })).text).toBe(before.text);
});

test('store keeps an answer that its caller waited for', async () => {
  const { text } = await http('POST', '/v1/responses', { body: { ...question, background: false, store: true } });
  const answer = Answer.parse(JSON.parse(text));
  expect(answer).toMatchObject({ status: 'incomplete', store: true, background: false });
  expect(await read(answer.id, 1)).toEqual(answer);
});

test('a cancelled answer stays cancelled, and its slot is free', async () => {
  const { id } = await start({ max_output_tokens: 400 });
  await eventually('it runs', async () => (await read(id)).status === 'in_progress');
  const cancelled = await http('POST', `/v1/responses/${id}/cancel`, { at: 1 });
  expect([cancelled.status, Answer.parse(JSON.parse(cancelled.text)).status]).toEqual([200, 'cancelled']);
  await eventually('the slot is free', async () => {
    const engines = (await stack.status()).workers.flatMap((worker) => worker.engines);
    return engines.every(({ inFlight }) => inFlight.text === 0);
  });
  expect((await read(id, 2)).status).toBe('cancelled');
  const { text } = await http('GET', `/v1/responses/${id}?stream=true`);
  expect(eventsOf(text).at(-1)?.type).toBe('response.cancelled');
});

test('only the same key sees an answer, and a deleted one is gone', async () => {
  const { id } = await start();
  for (const [method, path] of [
    ['GET', ''],
    ['POST', '/cancel'],
    ['DELETE', ''],
  ] as const)
    expect((await http(method, `/v1/responses/${id}${path}`, { key: 'other' })).status).toBe(404);
  await over(id);
  expect(await http('DELETE', `/v1/responses/${id}`, { at: 1 })).toMatchObject({
    status: 200,
    text: JSON.stringify({ id, object: 'response', deleted: true }),
  });
  expect((await http('GET', `/v1/responses/${id}`)).status).toBe(404);
  expect(await stack.redis.client.keys(`*answer*${id}*`)).toEqual([]);
  expect(await stack.redis.client.keys(`*body*${id}*`)).toEqual([]);
});

test('readers of an answer that is deleted get an error event, and its key can make another', async () => {
  const { id } = await start({ max_output_tokens: 400 });
  const readers = [0, 1].map((at) => http('GET', `/v1/responses/${id}?stream=true`, { at }));
  await eventually('it runs', async () => (await read(id)).status === 'in_progress');
  expect((await http('DELETE', `/v1/responses/${id}`, { at: 2 })).status).toBe(200);
  for (const { text } of await Promise.all(readers)) expect(text).toMatch(/event: (error|response\.cancelled)\n/);
});

test('a cancelled answer costs its key the tokens that were made', async () => {
  const remaining = async (): Promise<number> => {
    const body = { input: 'x', max_output_tokens: 1 };
    const { headers } = await http('POST', '/v1/responses', { body, key: 'limited' });
    return Number(headers.get('x-ratelimit-remaining-tokens-day') ?? headers.get('x-ratelimit-remaining-tokens'));
  };
  const [first, second] = [await remaining(), await remaining()];
  const { id } = await start({ max_output_tokens: 400 }, 0, 'limited');
  await eventually('some of it is made', async () => {
    const { text } = await http('GET', `/v1/responses/${id}`, { key: 'limited' });
    return text.includes('in_progress') && (await stack.engineMetric('vllm:num_requests_running')) > 0;
  });
  // The words of an answer are 20 ms apart.
  await eventually('twenty words later', async () => (await redisTokens(id)) > 20);
  expect((await http('POST', `/v1/responses/${id}/cancel`, { key: 'limited' })).status).toBe(200);
  await eventually('it is counted', async () => {
    const probe = first - second;
    const cost = second - (await remaining()) - probe;
    return cost > 20 && cost < 400;
  });
});

test('a gateway that stops hands its answers over, and nothing waits for a lease to lapse', async () => {
  const leaving = await stack.startGateway({});
  urls = [leaving.url];
  const ids = await Promise.all(Array.from({ length: 10 }, async () => (await start({ max_output_tokens: 200 })).id));
  leaving.child.kill('SIGTERM');
  const stoppedAt = performance.now();
  urls = [stack.url];
  const adopted = 'the answers have other owners';
  await eventually(adopted, async () => {
    const owners = await Promise.all(
      ids.map((id) => stack.redis.client.hget(`{penstock:Phi-3-vision-128k-instruct}:answer:${id}`, 'n')),
    );
    return owners.every((n) => n === '2');
  });
  expect(performance.now() - stoppedAt).toBeLessThan(5_000);
  for (const id of ids) expect(await over(id)).toMatchObject({ id, status: 'completed' });
}, 120_000);

test('a gateway that stood still while another adopted its answers changes nothing afterwards', async () => {
  const asked = await stack.engineMetric('vllm:request_success_total');
  const frozen = await stack.startGateway({});
  urls = [frozen.url];
  const ids = await Promise.all(Array.from({ length: 5 }, async () => (await start({ max_output_tokens: 100 })).id));
  frozen.child.kill('SIGSTOP');
  urls = [stack.url];
  const done = await Promise.all(ids.map((id) => over(id)));
  frozen.child.kill('SIGCONT');
  await eventually('it serves again', async () => (await fetch(`${frozen.internalUrl}/readyz`)).ok);
  for (const answer of done) {
    expect(answer.status).toBe('completed');
    expect(await read(answer.id)).toEqual(answer);
  }
  expect((await stack.engineMetric('vllm:request_success_total')) - asked).toBe(5);
}, 120_000);

test('of a dispatcher that is killed: what a reader has in part fails with its reason, everything else is made again', async () => {
  const ids = await Promise.all(Array.from({ length: 8 }, async () => (await start({ max_output_tokens: 400 })).id));
  const read4 = ids.slice(0, 4).map((id) => http('GET', `/v1/responses/${id}?stream=true`, { at: 1 }));
  const busy = await eventually('a dispatcher has some, and words of them', async () => {
    const { workers } = await stack.status();
    const steps = await stack.engineMetric('vllm:generation_tokens_total');
    return steps > 0 && workers.find(({ engines }) => engines.some(({ inFlight }) => inFlight.text > 2));
  });
  process.kill(busy.pid, 'SIGKILL');
  const done = await Promise.all(ids.map((id) => over(id)));
  for (const { status } of done.slice(4)) expect(status).toBe('completed');
  const events = (await Promise.all(read4)).map(({ text }) => eventsOf(text));
  for (const [index, { status, error }] of done.slice(0, 4).entries()) {
    expect(['completed', 'failed']).toContain(status);
    expect(events[index]?.at(-1)?.type).toBe(`response.${status}`);
    expect(events[index]?.map((event) => event.sequence_number)).toEqual(events[index]?.map((_event, n) => n));
    if (status === 'failed') expect(error?.code).toBe('worker_lost');
  }
  // All readers get the same, also those that come after it began again.
  for (const id of ids) {
    const [one, two] = await Promise.all([0, 1].map((at) => http('GET', `/v1/responses/${id}?stream=true`, { at })));
    expect(one?.text).toBe(two?.text);
    expect(eventsOf(one?.text ?? '').at(-1)?.type).toMatch(/^response\.(completed|failed)$/);
  }
}, 120_000);

test('answers whose gateway is killed are completed, and no engine is asked twice', async () => {
  const asked = await stack.engineMetric('vllm:request_success_total');
  const begin = async () => (await start({ max_output_tokens: 100 }, 2)).id;
  const ids = await Promise.all(Array.from({ length: 20 }, begin));
  stack.gateways[2]?.child.kill('SIGKILL');
  for (const id of ids) expect(await over(id)).toMatchObject({ id, status: 'completed' });
  expect((await stack.engineMetric('vllm:request_success_total')) - asked).toBe(20);
}, 120_000);
