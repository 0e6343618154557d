import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { redisKeys } from '#contract/redis-keys';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startReceiver, type Receiver } from '../support/webhook-receiver.ts';

/** Keys whose receiver accepts connections and does not answer. */
const SILENT = Array.from({ length: 16 }, (_, at) => `silent-${at}`);
const folder = temporaryFolder();
const file = `${folder.path}/keys.yaml`;
let key: string;
let receiver: Receiver;
let stack: Stack;

beforeAll(async () => {
  receiver = await startReceiver();
  for (const id of ['well', ...SILENT]) {
    const made = await penstock(['keys', 'create', '--file', file, '--id', id]);
    if (id === 'well') key = made.stdout.trim();
    await penstock(['keys', 'webhook', id, `http://127.0.0.1:${receiver.port}/${id}`, '--file', file]);
  }
}, 120_000);
afterAll(async () => {
  await receiver[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});
beforeEach(async () => {
  receiver.reply = ({ path }) => (path.startsWith('/silent') ? 'silence' : 200);
  stack = await startStack({
    gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_WEBHOOK_ALLOW: '127.0.0.1' },
    workerEnv: NO_IDLE_TESTS,
  });
}, 60_000);
afterEach(async () => {
  await stack[Symbol.asyncDispose]();
});

/** The ends of many responses of a key, as their scripts write them. @returns the ids */
async function end(keyId: string, count: number, agoMs = 0): Promise<string[]> {
  const [worker] = (await stack.status()).workers;
  const model = worker?.engines[0]?.model ?? '';
  const ids = Array.from({ length: count }, () => `resp_${randomBytes(16).toString('hex')}`);
  const members = ids.flatMap((id) => [Date.now() - agoMs, `${id} completed ${keyId}`]);
  await stack.redis.client.zadd(redisKeys.webhooksDue(model), ...members);
  return ids;
}
/** Makes a response of the key whose receiver is well. @returns its id */
async function start(): Promise<string> {
  const response = await fetch(`${stack.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'hi', max_output_tokens: 4, background: true }),
  });
  return z.object({ id: z.string() }).parse(await response.json()).id;
}
const arrives = (id: string, limitMs?: number) =>
  eventually(`the event of ${id} arrives`, () => receiver.of(id).length > 0, limitMs);
const ofKey = (id: string) => receiver.got.filter(({ path }) => path === `/${id}`);
async function given(state: string, keyId: string): Promise<{ id: string; reason?: string | undefined }[]> {
  const internal = stack.gateways[0]?.internalUrl ?? '';
  const page: unknown = await (await fetch(`${internal}/webhooks?key=${keyId}&state=${state}`)).json();
  return z.object({ events: z.array(z.looseObject({ id: z.string(), reason: z.string().optional() })) }).parse(page)
    .events;
}
async function all(): Promise<{ created: number }[]> {
  const page: unknown = await (await fetch(`${stack.gateways[0]?.internalUrl ?? ''}/webhooks`)).json();
  return z.object({ events: z.array(z.looseObject({ created: z.int() })) }).parse(page).events;
}
const waitingOf = (keyId: string): Promise<number> => stack.redis.client.zcard(redisKeys.webhooksWaiting(keyId));

test('sixteen silent receivers with many events do not delay the event of another key', async () => {
  for (const id of SILENT) await end(id, 60);
  await eventually('each has one', () => SILENT.every((id) => ofKey(id).length > 0));
  for (let i = 0; i < 3; i += 1) await arrives(await start(), 5_000);
}, 60_000);

test('once a silent receiver answers again, it gets all its events soon, and a burst of new ones', async () => {
  const ids = await end('silent-0', 300);
  await eventually('three tries failed', async () => (await stack.metric('penstock_webhooks_total')) > 2, 90_000);
  receiver.reply = () => 200;
  ids.push(...(await end('silent-0', 200)));
  const missing = (): number => ids.filter((id) => receiver.of(id).length === 0).length;
  await eventually('all arrive', () => missing() === 0, 60_000);
  await eventually('none waits', async () => (await waitingOf('silent-0')) === 0);
}, 180_000);

test('of a silent receiver 10,000 events wait, more are given up, and other keys keep their tries', async () => {
  await end('silent-1', 10_100);
  await eventually(
    'the others are given up',
    async () => (await stack.metric('penstock_webhooks_total')) >= 99,
    90_000,
  );
  await eventually('many wait', async () => (await waitingOf('silent-1')) >= 9_990, 90_000);
  // Those that are tried keep their place.
  expect(await waitingOf('silent-1')).toBeLessThanOrEqual(10_010);
  const told = stack.gateways[0]?.output().match(/new webhook events given up/g) ?? [];
  expect(told.length).toBe(1);
  receiver.reply = ({ path, event }) => {
    if (path.startsWith('/silent')) return 'silence';
    return receiver.of(event.data.id).length < 2 ? 503 : 200;
  };
  const id = await start();
  await eventually('it is tried again', () => receiver.of(id).length === 2);
  await eventually('it is delivered', async () => (await given('delivered', 'well')).length === 1);
}, 240_000);

test('the list of a key has its events, whatever other keys have, and the newest first', async () => {
  receiver.reply = ({ path }) => (path === '/silent-3' ? 500 : 200);
  const ids = [...(await end('well', 2, 60_000)), ...(await end('well', 1))];
  for (const id of ids) await arrives(id);
  await end('silent-2', 1_500);
  await end('silent-3', 3, 30_000);
  await eventually('those of others are over', async () => (await stack.metric('penstock_webhooks_total')) >= 1_506);
  const [, ...older] = ids.toReversed().map((id) => id.replace('resp_', 'evt_'));
  const own = await eventually('the list has them', async () => {
    const events = await given('delivered', 'well');
    return events.length === 3 && events.map(({ id }) => id);
  });
  expect(own).toEqual([ids[2]?.replace('resp_', 'evt_'), ...own.slice(1)]);
  expect(new Set(own.slice(1))).toEqual(new Set(older));
  const created = (await all()).map((one) => one.created);
  expect(created).toHaveLength(1_000);
  expect(created).toEqual(created.toSorted((a, b) => b - a));
}, 120_000);

test('an event that is a day old is given up without a try, until an operator delivers it again', async () => {
  const [id = ''] = await end('well', 1, 25 * 3_600_000);
  const [event] = await eventually('it is given up', async () => {
    const events = await given('given_up', 'well');
    return events.length > 0 && events;
  });
  expect([event?.reason, receiver.of(id)]).toEqual(['its day is over', []]);
  const internal = stack.gateways[0]?.internalUrl ?? '';
  await fetch(`${internal}/webhooks/${event?.id ?? ''}/redeliver`, { method: 'POST' });
  await arrives(id);
});
