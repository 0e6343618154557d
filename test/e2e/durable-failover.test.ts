import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { startRedisPair, type RedisPair } from '../support/redis-pair.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

let pair: RedisPair;
let stack: Stack;
beforeEach(async () => {
  pair = await startRedisPair();
  stack = await startStack({
    gateways: 2,
    launchers: 2,
    twoRedis: true,
    redis: pair,
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '20' },
  });
}, 90_000);
afterEach(async () => {
  await stack[Symbol.asyncDispose]();
});

const question = { messages: [{ role: 'user', content: 'Tell me of the harbour.' }], temperature: 0, stream: true };
const TOKENS = 300;
interface Asked {
  readonly at?: number;
  readonly tokens?: number;
  readonly headers?: Record<string, string>;
}
const ask = (key: string, { at = 0, tokens = TOKENS, headers = {} }: Asked = {}) =>
  call(
    `${stack.gateways[at]?.url}/v1/chat/completions`,
    { ...question, max_tokens: tokens, ignore_eos: true },
    { 'idempotency-key': key, ...headers },
  );
/** The stream without comments. */
const eventsOf = (text: string): string[] =>
  text
    .replaceAll(/^:.*\n+/gm, '')
    .split(/(?<=\n\n)/)
    .filter((event) => event.endsWith('\n\n'));
const lastIdOf = (events: readonly string[]): string => /^id: (.+)$/m.exec(events.at(-1) ?? '')?.[1] ?? '';
const isWhole = (events: readonly string[]): boolean => events.at(-1)?.endsWith('data: [DONE]\n\n') === true;
const background = (at = 0): Promise<Outcome> =>
  call(`${stack.gateways[at]?.url}/v1/responses`, { input: 'hi', max_output_tokens: TOKENS, background: true }).ended;
/** As an SDK asks, which sends its request again after a 503. */
async function sdk(key: string, asked: Asked): Promise<Outcome> {
  return eventually('an answer', async () => {
    const outcome = await ask(key, asked).ended;
    return outcome.status !== 503 && outcome;
  });
}
const runs = (): Promise<number> => stack.engineMetric('vllm:request_success_total');
const Dispatchers = z.object({ dispatchers: z.array(z.object({ pid: z.number() })) });
async function dispatchers(): Promise<number[]> {
  const pages = stack.launchers.map(async ({ internalUrl }) => (await fetch(`${internalUrl}/status`)).json());
  return (await Promise.all(pages)).flatMap((page) => Dispatchers.parse(page).dispatchers.map(({ pid }) => pid));
}
const codeOf = ({ body }: Outcome): unknown => (JSON.parse(body) as { error: { code: string } }).error.code;

test('streams go on after a fail-over that lost their last events, or all of them, while their dispatchers live', async () => {
  const ranBefore = await runs();
  const early = ['a', 'b', 'c', 'd'];
  const [first, readers] = [early.map((key) => ask(key)), early.map((key) => ask(key, { at: 1 }))];
  const seen = (count: number) => () => [...first, ...readers].every((one) => eventsOf(one.text()).length > count);
  await eventually('all have events', seen(5));
  await pair.part();
  // The promoted Redis knows nothing of these.
  const late = ['e', 'f'];
  first.push(...late.map((key) => ask(key)));
  readers.push(...late.map((key) => ask(key, { at: 1 })));
  await eventually('all have events that only the primary has', seen(30));
  const before = first.map((one) => eventsOf(one.text()).length);
  await pair.failOver();
  for (const [n, key] of [...early, ...late].entries()) {
    const own = eventsOf((await first[n]?.ended)?.body ?? '');
    expect([key, isWhole(own), own.length > (before[n] ?? 0)]).toEqual([key, true, true]);
    expect(eventsOf((await readers[n]?.ended)?.body ?? '')).toEqual(own);
    const id = lastIdOf(own.slice(0, before[n]));
    const rest = await ask(key, { at: 1, headers: { 'last-event-id': id } }).ended;
    expect(eventsOf(rest.body)).toEqual(own.slice(before[n]));
  }
  expect(await runs()).toBe(ranBefore + first.length);
}, 120_000);

test('a request that is sent again while Redis fails over gets the answer that runs', async () => {
  const ranBefore = await runs();
  await pair.part();
  const first = ask('a');
  await eventually('it has events', () => eventsOf(first.text()).length > 5);
  // Whatever is sent to the primary from now on waits for its reply until it is killed.
  const { primary } = pair;
  await primary.client.client('PAUSE', 60_000, 'WRITE');
  /** Bytes that gateways have sent in vain, in ascending order. */
  const unread = async (): Promise<number[]> =>
    String(await primary.client.client('LIST'))
      .split('\n')
      .flatMap((line) => / name=penstock-gateway .* qbuf=(\d+)/.exec(line)?.[1] ?? [])
      .map(Number)
      .toSorted((one, other) => one - other);
  const [before = 0] = await eventually('both gateways wait', async () => {
    const sizes = await unread();
    return sizes.length === 2 && (sizes[0] ?? 0) > 0 && sizes;
  });
  const again = [0, 1].map((at) => sdk('a', { at }));
  await eventually('they have been sent', async () => ((await unread())[0] ?? 0) > before);
  await pair.failOver();
  const own = eventsOf((await first.ended).body);
  expect(isWhole(own)).toBe(true);
  for (const one of again) expect(eventsOf((await one).body)).toEqual(own);
  expect(await runs()).toBe(ranBefore + 1);
}, 120_000);

test('answers that only the dead primary had, from their begin to their end, are given again', async () => {
  const ranBefore = await runs();
  await pair.part();
  const keys = ['a', 'b', 'c'];
  const first = await Promise.all(keys.map((key) => ask(key, { tokens: 10 }).ended));
  await pair.failOver();
  for (const [n, key] of keys.entries()) {
    const again = await sdk(key, { at: 1, tokens: 10 });
    expect([again.status, eventsOf(again.body)]).toEqual([200, eventsOf(first[n]?.body ?? '')]);
  }
  expect(await runs()).toBe(ranBefore + keys.length);
}, 120_000);

test('a stream whose last events are lost with their dispatcher ends in an error, for each of its readers', async () => {
  const first = ask('a');
  const reader = ask('a', { at: 1 });
  const seen = (count: number) => () => [first, reader].every((one) => eventsOf(one.text()).length > count);
  await eventually('both have events', seen(5));
  await pair.part();
  await eventually('both have events that only the primary has', seen(30));
  for (const pid of await dispatchers()) process.kill(pid, 'SIGKILL');
  // One may have an event more than the other.
  const had = eventsOf(reader.text());
  const told = [first, reader].map((one) => eventsOf(one.text()));
  await pair.failOver();
  for (const [n, one] of [first, reader].entries()) {
    const events = eventsOf((await one.ended).body);
    expect(events.slice(0, told[n]?.length)).toEqual(told[n]);
    expect(events.at(-1)).toContain('"code":"worker_lost"');
  }
  const rest = await ask('a', { at: 1, headers: { 'last-event-id': lastIdOf(had) } }).ended;
  expect([rest.status, codeOf(rest)]).toEqual([502, 'worker_lost']);
}, 120_000);

test('the id of a background response is told when a replica has it, else nothing is left', async () => {
  const told = await background();
  expect(told.status).toBe(200);
  const { id } = JSON.parse(told.body) as { id: string };
  expect(await pair.replica.client.keys(`*:answer:${id}`)).toHaveLength(1);
  process.kill(pair.replica.pid, 'SIGSTOP');
  const refused = await background(1);
  expect([refused.status, codeOf(refused)]).toEqual([503, 'queue_unavailable']);
  expect(await pair.client.keys('*:answer:*')).toHaveLength(1);
  process.kill(pair.replica.pid, 'SIGCONT');
  await eventually('the engines run one', async () => (await stack.engineMetric('vllm:num_requests_running')) <= 1);
  await pair.failOver();
  const found = async (): Promise<string> => {
    const answer = await fetch(`${stack.gateways[1]?.url}/v1/responses/${id}`);
    return answer.ok ? (((await answer.json()) as { status: string }).status ?? '') : '';
  };
  await eventually('it completes', async () => (await found()) === 'completed', 60_000);
  // There is no replica now.
  expect((await background()).status).toBe(200);
}, 120_000);

test.each(['all connections', 'the one that asks for replicas'])(
  'a primary whose replica was promoted confirms no background response, with %s',
  async (left) => {
    await eventually('an id is told', async () => (await background()).status === 200);
    await pair.promote();
    if (left !== 'all connections') {
      const connections = String(await pair.primary.client.client('LIST')).matchAll(
        /^id=(\d+) .*name=penstock-gateway-confirm /gm,
      );
      for (const [, id = ''] of connections) await pair.primary.client.client('KILL', 'ID', id);
      const moved = async (): Promise<boolean> =>
        [...String(await pair.replica.client.client('LIST')).matchAll(/name=penstock-gateway-confirm /g)].length === 2;
      await eventually('they are at the promoted one', moved);
    }
    const refused = await background();
    expect([refused.status, codeOf(refused)]).toEqual([503, 'queue_unavailable']);
    expect(await pair.primary.client.keys('*:answer:*')).toHaveLength(1);
    await pair.failOver();
    await eventually('the promoted one is used', async () => (await background()).status === 200);
  },
  60_000,
);

const stateOf = (id: string): Promise<string | null> =>
  pair.client.keys(`*:answer:${id}`).then(([key = '']) => pair.client.hget(key, 'state'));
const isRunning = async (): Promise<boolean> => (await stack.engineMetric('vllm:num_requests_running')) === 1;

test.each(['lives', 'is dead'])(
  'a response that was cancelled stays cancelled, and its engine free, if Redis lost that, and its owner %s',
  async (owner) => {
    const { id } = JSON.parse((await background(1)).body) as { id: string };
    await eventually('it runs', isRunning);
    await pair.part();
    if (owner === 'is dead') stack.gateways[1]?.child.kill('SIGKILL');
    const cancelled = await call(`${stack.url}/v1/responses/${id}/cancel`, {}).ended;
    expect([cancelled.status, JSON.parse(cancelled.body)]).toMatchObject([200, { status: 'cancelled' }]);
    await pair.failOver();
    await eventually('it is cancelled again', async () => (await stateOf(id)) === 'cancelled');
    await eventually('its engine is free', async () => !(await isRunning()));
  },
  60_000,
);

test('a response that was deleted stays deleted, with its words, if Redis lost that', async () => {
  const [first, second] = stack.gateways.map(({ url }) => `${url}/v1/responses`);
  const asked = { input: 'secret words', max_output_tokens: 5, store: true };
  const over = JSON.parse((await call(first ?? '', asked).ended).body) as { id: string };
  const open = JSON.parse((await background()).body) as { id: string };
  await eventually('it runs', isRunning);
  await pair.part();
  for (const { id } of [over, open]) {
    expect(await pair.replica.client.keys(`*:answer:${id}`)).toHaveLength(1);
    expect((await fetch(`${second}/${id}`, { method: 'DELETE' })).status).toBe(200);
  }
  await pair.failOver();
  for (const { id } of [over, open]) {
    await eventually('nothing is left', async () => (await pair.client.keys(`*:answer*:${id}`)).length === 0);
    expect((await fetch(`${first}/${id}`)).status).toBe(404);
  }
  expect(await pair.client.keys('*:item:*')).toEqual([]);
  await eventually('its engine is free', async () => !(await isRunning()));
}, 60_000);

test('a stream whose reader is at another gateway goes on if Redis lost the note of that reader', async () => {
  await pair.part();
  const first = ask('a', { tokens: 500, headers: { 'x-penstock-on-disconnect': 'cancel' } });
  await eventually('the first client has events', () => eventsOf(first.text()).length > 5);
  const reader = ask('a', { at: 1, tokens: 500 });
  await eventually('so has the reader', () => eventsOf(reader.text()).length > 5);
  first.leave('close');
  await eventually(
    'the note is at the primary',
    async () => (await pair.client.keys('*:answer-readers:*')).length === 1,
  );
  await pair.failOver();
  expect(isWhole(eventsOf((await reader.ended).body))).toBe(true);
}, 60_000);

test('a primary that becomes a replica, and keeps its connections, is left', async () => {
  const streams = [ask('a'), ask('b', { at: 1 })];
  await eventually('they have events', () => streams.every((one) => eventsOf(one.text()).length > 5));
  await pair.changeRoles();
  for (const { url } of stack.gateways) {
    const asked = { ...question, stream: false, max_tokens: 3 };
    const answered = async (): Promise<boolean> =>
      (await call(`${url}/v1/chat/completions`, asked).ended).status === 200;
    await eventually('requests are answered', answered, 10_000);
  }
  for (const one of streams) expect(isWhole(eventsOf((await one.ended).body))).toBe(true);
  const left = async (): Promise<boolean> =>
    !/name=penstock-(gateway|dispatcher)/.test(String(await pair.primary.client.client('LIST')));
  await eventually('no connection is left there', left, 10_000);
}, 60_000);

test('a stream that only the lost primary had outlives its gateway too', async () => {
  await pair.part();
  const first = ask('a', { tokens: 1_500 });
  await eventually('it has events', () => eventsOf(first.text()).length > 5);
  await pair.failOver();
  const token = async (): Promise<boolean> => {
    const [key = ''] = await pair.client.keys('*:answer:post_*');
    return (await pair.client.hget(key, 'token')) !== null;
  };
  await eventually('its attempt has it again', token);
  stack.gateways[0]?.child.kill('SIGKILL');
  const again = await ask('a', { at: 1, tokens: 1_500 }).ended;
  expect([again.status, again.body.slice(-300)]).toEqual([200, expect.stringMatching(/data: \[DONE\]\n\n$/)]);
}, 90_000);

test('what a stored response was asked is kept, though only the lost primary had it', async () => {
  const url = `${stack.url}/v1/responses`;
  await pair.part();
  const asked = { input: 'Tell me of the harbour.', max_output_tokens: TOKENS, store: true };
  const answered = call(url, asked);
  await eventually('it runs', isRunning);
  await pair.failOver();
  const { status, body } = await answered.ended;
  const { id } = JSON.parse(body) as { id: string };
  const items: unknown = await (await fetch(`${url}/${id}/input_items`)).json();
  expect([status, items]).toMatchObject([200, { data: [{ content: [{ text: asked.input }] }] }]);
  const next = await call(url, { input: 'And then?', max_output_tokens: 3, previous_response_id: id }).ended;
  expect(next.status).toBe(200);
}, 60_000);
