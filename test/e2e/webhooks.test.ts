import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { startStrangeTls, startTlsHost, type TlsHost } from '../support/hostile-hosts.ts';
import { startNameServer, type NameServer } from '../support/name-server.ts';
import { penstock } from '../support/penstock-command.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startReceiver, type Delivered, type Receiver } from '../support/webhook-receiver.ts';

const WORD = 'zanzibarcanary';
const Facts = z.looseObject({ id: z.string(), key: z.string(), state: z.string(), reason: z.string().optional() });
type Facts = z.infer<typeof Facts>;
const Made = z.object({ id: z.string() });

const folder = temporaryFolder();
const file = `${folder.path}/keys.yaml`;
const keys = new Map<string, string>();
const secrets = new Map<string, string>();
let receiver: Receiver;
let names: NameServer;
let tls: TlsHost;
let strange: TlsHost;
let stack: Stack;

/** Sets the webhook of a key. @returns the secret */
async function hook(id: string, url: string): Promise<string> {
  const made = await penstock(['keys', 'webhook', id, url, '--file', file]);
  expect([made.code, made.stderr]).toEqual([0, expect.stringContaining('This is the secret')]);
  return made.stdout.trim();
}
const here = (path = '/hook', host = '127.0.0.1'): string => `http://${host}:${receiver.port}${path}`;

beforeAll(async () => {
  receiver = await startReceiver();
  names = await startNameServer((name, type) => {
    if (type === 'AAAA') return [];
    if (name === 'tls.test') return ['127.0.0.1'];
    return name === 'half.test' ? ['127.0.0.1', '127.0.0.2'] : 'nxdomain';
  });
  tls = await startTlsHost(folder.path, '/CN=tls.test', 'DNS:tls.test', 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n');
  strange = await startStrangeTls(folder.path);
  const urls = [
    here(),
    here(),
    here(),
    here('/hook', '127.0.0.2'),
    here('/hook', 'half.test'),
    here('/moved'),
    here(),
    here('/slow'),
    here(),
  ];
  for (const [at, id] of [
    'mine',
    'rotated',
    'removed',
    'inside',
    'half',
    'moved',
    'killed',
    'slow',
    'moment',
    'plain',
    'tls',
    'strange',
  ].entries()) {
    keys.set(id, (await penstock(['keys', 'create', '--file', file, '--id', id])).stdout.trim());
    const url = urls[at];
    if (url !== undefined) secrets.set(id, await hook(id, url));
  }
  stack = await startStack({
    gateways: 2,
    engines: 2,
    twoRedis: true,
    gatewayEnv: {
      GATEWAY_KEYS_FILE: file,
      GATEWAY_WEBHOOK_ALLOW: '127.0.0.1',
      GATEWAY_IMAGE_NAME_SERVERS: names.address,
      NODE_EXTRA_CA_CERTS: tls.certificate,
    },
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '20' },
  });
}, 120_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  for (const server of [names, tls, strange]) await server[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});
beforeEach(() => {
  receiver.reply = () => 200;
});

async function send(path: string, body: object, key: string, url: string): Promise<Response> {
  const headers = { authorization: `Bearer ${keys.get(key) ?? ''}`, 'content-type': 'application/json' };
  return fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
}
async function post(path: string, body: object, key: string, url = stack.url): Promise<string> {
  const response = await send(path, body, key, url);
  const text = await response.text();
  expect([response.status, text]).toEqual([200, text]);
  return Made.parse(JSON.parse(text)).id;
}
const start = (more: object = {}, key = 'mine', url = stack.url): Promise<string> =>
  post('/v1/responses', { input: `Tell me of ${WORD}.`, max_output_tokens: 4, background: true, ...more }, key, url);
const run = (...words: string[]) =>
  penstock(['webhooks', ...words, '--gateway-url', stack.gateways[0]?.internalUrl ?? '']);
const listed = async (...words: string[]): Promise<Facts[]> => {
  const { code, stdout, stderr } = await run('list', '--json', ...words);
  expect([code, stderr]).toEqual([0, '']);
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [Facts.parse(JSON.parse(line))]));
};
const eventOf = (answer: string): string => answer.replace('resp_', 'evt_');
/** The event of an answer, once it is in a state, as an operator sees it. */
const inState = (answer: string, state: string, limitMs?: number): Promise<Facts> =>
  eventually(
    `the event of ${answer} is ${state}`,
    async () => (await listed('--state', state)).find(({ id }) => id === eventOf(answer)),
    limitMs,
  );
const arrived = (answer: string): Promise<Delivered> =>
  eventually(`the event of ${answer} arrives`, () => receiver.of(answer)[0]);
const headersOf = ({ headers }: Delivered): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
const isSignedBy = (secret: string | undefined, delivered: Delivered): boolean => {
  try {
    new Webhook(secret ?? '').verify(delivered.body, headersOf(delivered));
    return true;
  } catch {
    return false;
  }
};

test('the end of a background response is a signed event with ids alone: completed, incomplete, cancelled, failed', async () => {
  const [completed, incomplete, cancelled] = [
    await start({ max_output_tokens: 400 }),
    await start(),
    await start({ max_output_tokens: 400 }),
  ];
  await post(`/v1/responses/${cancelled}/cancel`, {}, 'mine');
  const ends = new Map([
    [completed, 'completed'],
    [incomplete, 'incomplete'],
    [cancelled, 'cancelled'],
  ]);
  for (const answer of ends.keys()) await arrived(answer);
  const engines = (await stack.status()).workers.flatMap((worker) => worker.engines);
  for (const engine of engines) await setFaults(engine, { 'fail-requests': true });
  const failed = await start();
  await arrived(failed);
  for (const engine of engines) await setFaults(engine, null);
  for (const [answer, state] of ends.set(failed, 'failed')) {
    const delivered = await arrived(answer);
    expect(isSignedBy(secrets.get('mine'), delivered)).toBe(true);
    expect(isSignedBy(secrets.get('rotated'), delivered)).toBe(false);
    expect(delivered.event).toMatchObject({ id: eventOf(answer), type: `response.${state}`, data: { id: answer } });
    expect(delivered.headers).toMatchObject({ 'webhook-id': eventOf(answer), 'content-type': 'application/json' });
    expect(JSON.stringify(delivered)).not.toContain(WORD);
    expect(Math.abs(delivered.event.created_at - Date.now() / 1_000)).toBeLessThan(60);
    const client = new OpenAI({ apiKey: 'none', webhookSecret: secrets.get('mine') ?? '' });
    const unwrapped = await client.webhooks.unwrap(delivered.body, headersOf(delivered));
    expect(unwrapped).toMatchObject({ type: `response.${state}`, data: { id: answer } });
  }
});

test('no event: without background, and for a key without a webhook', async () => {
  const none = [await start({ background: false, store: true }), await start({}, 'plain')];
  await inState(await start(), 'delivered');
  const all = (await listed()).map(({ id }) => id);
  for (const answer of none) expect(all).not.toContain(eventOf(answer));
  expect(await listed('--key', 'plain')).toEqual([]);
});

test('each of hundreds of responses that end almost before they are queued has its event; a refused one has none', async () => {
  const gatewayEnv = { GATEWAY_KEYS_FILE: file, GATEWAY_WEBHOOK_ALLOW: '127.0.0.1' };
  {
    await using fast = await startStack({ gatewayEnv });
    const body = { input: 'x', max_output_tokens: 4, background: true };
    const begun = await Promise.all(Array.from({ length: 500 }, () => send('/v1/responses', body, 'mine', fast.url)));
    // A machine that is too busy refuses some.
    const accepted = begun.filter(({ status }) => status === 200);
    const answers = await Promise.all(accepted.map(async (one) => Made.parse(await one.json()).id));
    expect(answers.length).toBeGreaterThan(100);
    const had = (): number => answers.filter((answer) => receiver.of(answer).length > 0).length;
    await eventually('each event arrives', () => had() === answers.length, 90_000);
  }
  await using full = await startStack({ launchers: 0, gatewayEnv: { ...gatewayEnv, GATEWAY_QUEUE_LIMIT_JOBS: '1' } });
  await start({}, 'mine', full.url);
  const refused = await send('/v1/responses', { input: 'x', background: true }, 'mine', full.url);
  expect([refused.status, await refused.text()]).toEqual([429, expect.any(String)]);
  const { stdout } = await penstock([
    'webhooks',
    'list',
    '--json',
    '--gateway-url',
    full.gateways[0]?.internalUrl ?? '',
  ]);
  expect(stdout).toBe('');
  expect(await full.redis.client.keys('*webhooks-due')).toEqual([]);
}, 180_000);

test('a receiver that is away and then fails gets each event in the end, with one id', async () => {
  await receiver.shut();
  const answers = await Promise.all(Array.from({ length: 20 }, () => start()));
  for (const answer of answers.slice(0, 2))
    expect(await inState(answer, 'retrying')).toMatchObject({ reason: 'ECONNREFUSED' });
  receiver.reply = ({ event }) => (receiver.of(event.data.id).length < 2 ? 500 : 204);
  await receiver.open();
  for (const answer of answers) await inState(answer, 'delivered', 60_000);
  for (const answer of answers) {
    const tries = receiver.of(answer);
    expect(tries.length).toBeGreaterThanOrEqual(2);
    expect(new Set(tries.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([eventOf(answer)]));
    for (const one of tries) expect(isSignedBy(secrets.get('mine'), one)).toBe(true);
  }
  expect(await stack.metric('penstock_webhooks_total')).toBeGreaterThan(0);
}, 120_000);

test('of a gateway that is killed while its answers end: each event arrives, and none has two ids', async () => {
  const victim = await stack.startGateway({});
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => start({ max_output_tokens: 20 }, 'killed', victim.url)),
  );
  const isOurs = ({ event }: Delivered): boolean => answers.includes(event.data.id);
  // What the victim delivers at this moment stays without an answer.
  receiver.reply = () => 'silence';
  await eventually('the first events arrive', () => receiver.got.some(isOurs));
  victim.child.kill('SIGKILL');
  receiver.reply = () => 200;
  for (const answer of answers) await inState(answer, 'delivered', 90_000);
  for (const answer of answers) {
    const ids = new Set(
      receiver.of(answer).map(({ event, headers }) => `${event.id} ${String(headers['webhook-id'])}`),
    );
    expect([...ids]).toEqual([`${eventOf(answer)} ${eventOf(answer)}`]);
    expect(new Set(receiver.of(answer).map(({ body }) => body)).size).toBe(1);
  }
}, 180_000);

test('a gateway that stops leaves no event undelivered', async () => {
  const leaving = await stack.startGateway({});
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => start({ max_output_tokens: 20 }, 'mine', leaving.url)),
  );
  await eventually('the first event arrives', () => receiver.got.some(({ event }) => answers.includes(event.data.id)));
  leaving.child.kill('SIGTERM');
  for (const answer of answers) await inState(answer, 'delivered', 60_000);
}, 120_000);

test('a receiver that is silent does not delay the events of another key', async () => {
  receiver.silent.reset();
  receiver.reply = ({ path }) => (path === '/slow' ? 'silence' : 200);
  const slow = await Promise.all(Array.from({ length: 80 }, () => start({}, 'slow')));
  await eventually('it has one', () => receiver.silent.peak > 0);
  await eventually('they are over', async () => (await listed('--key', 'slow')).length >= slow.length);
  await inState(await start(), 'delivered');
  const gateways = stack.gateways.filter(({ child }) => child.exitCode === null && child.signalCode === null);
  expect(receiver.silent.peak).toBeLessThanOrEqual(gateways.length);
}, 120_000);

test('no event goes to an address that is not allowed, or to the target of a redirect', async () => {
  receiver.reply = ({ path }) => (path === '/moved' ? { location: here('/stolen') } : 200);
  const refused = [await start({}, 'inside'), await start({}, 'half')];
  for (const answer of refused) {
    expect(await inState(answer, 'retrying')).toMatchObject({ reason: 'its address or port is not allowed' });
    expect(receiver.of(answer)).toEqual([]);
  }
  const moved = await start({}, 'moved');
  expect(await inState(moved, 'retrying')).toMatchObject({ reason: 'status 302' });
  expect(receiver.of(moved).map(({ path }) => path)).not.toContain('/stolen');
});

test('an event goes by TLS to a host whose certificate is its own, and to no other', async () => {
  secrets.set('tls', await hook('tls', `https://tls.test:${tls.port}/`));
  secrets.set('strange', await hook('strange', `https://tls.test:${strange.port}/`));
  const sent = async (key: string, state: string): Promise<Facts> =>
    eventually(`an event of ${key} is ${state}`, async () => {
      // Until the gateway has read the file, a response has no event.
      const [one] = await listed('--key', key, '--state', state);
      if (one === undefined) await start({}, key);
      return one;
    });
  await sent('tls', 'delivered');
  expect(new Set(tls.names)).toEqual(new Set(['tls.test']));
  expect(await sent('strange', 'retrying')).toMatchObject({ reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
}, 90_000);

test('a new secret signs from then on, also events that wait', async () => {
  receiver.reply = () => 500;
  const answer = await start({}, 'rotated');
  expect(isSignedBy(secrets.get('rotated'), await arrived(answer))).toBe(true);
  const secret = await hook('rotated', here());
  receiver.reply = (delivered) => (isSignedBy(secret, delivered) ? 200 : 500);
  await inState(answer, 'delivered', 60_000);
  const list = await penstock(['keys', 'list', '--file', file]);
  expect(list.stdout).toMatch(new RegExp(`^rotated .* webhook ${here()}$`, 'm'));
  expect(list.stdout).not.toContain('whsec_');
}, 120_000);

test('events of a key whose webhook was removed are dropped', async () => {
  receiver.reply = () => 500;
  const answer = await start({}, 'removed');
  await inState(answer, 'retrying');
  expect((await penstock(['keys', 'webhook', 'removed', '--off', '--file', file])).code).toBe(0);
  receiver.reply = () => 200;
  await inState(answer, 'dropped', 180_000);
  const before = receiver.of(answer).length;
  await start({}, 'removed');
  await inState(await start(), 'delivered');
  expect(receiver.of(answer)).toHaveLength(before);
}, 240_000);

test('an event that was often tried is not dropped because its key has no webhook for a moment', async () => {
  receiver.reply = () => 500;
  const answer = await start({}, 'moment');
  for (let tries = 1; tries < 9; tries += 1) {
    await eventually(`try ${tries}`, () => receiver.of(answer).length >= tries);
    await run('redeliver', eventOf(answer));
  }
  await inState(answer, 'retrying');
  expect((await penstock(['keys', 'webhook', 'moment', '--off', '--file', file])).code).toBe(0);
  const waits = /^.*webhook event waits.*$/gm;
  await eventually('a gateway tried while there was none', async () => {
    await run('redeliver', eventOf(answer));
    return stack.gateways.some(({ output }) =>
      output()
        .match(waits)
        ?.some((line) => line.includes(eventOf(answer))),
    );
  });
  receiver.reply = () => 200;
  await hook('moment', here());
  await inState(answer, 'delivered', 90_000);
}, 150_000);

test('a receiver that is gone for good gets no more, until an operator delivers again', async () => {
  receiver.reply = () => 410;
  const answer = await start();
  expect(await inState(answer, 'given_up')).toMatchObject({ key: 'mine', reason: 'status 410', attempts: 1 });
  expect(receiver.of(answer)).toHaveLength(1);
  receiver.reply = () => 200;
  const again = await run('redeliver', eventOf(answer));
  expect([again.code, again.stdout]).toEqual([0, `${eventOf(answer)} is in the queue; see penstock webhooks list\n`]);
  await inState(answer, 'delivered');
  await run('redeliver', eventOf(answer));
  await eventually('it arrives a third time', () => receiver.of(answer).length === 3);
  const list = await run('list', '--key', 'mine');
  expect(list.stdout).toMatch(new RegExp(`^id .*\n(.*\n)*${eventOf(answer)} +mine +response.incomplete +`));
  for (const program of stack.gateways) expect(program.output()).not.toMatch(/whsec_|zanzibar/);
  expect(list.stdout).not.toMatch(/whsec_|zanzibar/);
});

test.each([
  [['redeliver', 'evt_none'], 1, /no webhook event "evt_none" is kept/],
  // A key of BullMQ.
  [['redeliver', 'delayed'], 1, /no webhook event "delayed" is kept/],
  [['redeliver', ''], 2, /is not list or redeliver ID/],
  [['list', '--state', 'gone'], 2, /state/],
  [['redeliver'], 2, /is not list or redeliver ID/],
])('penstock webhooks %j ends with %i and a sentence', async (words, code, sentence) => {
  const ended = await run(...words);
  expect([ended.code, ended.stdout]).toEqual([code, '']);
  expect(ended.stderr).toMatch(sentence);
});

test.each([
  [['mine', 'ftp://127.0.0.1/x'], /must be a URL/],
  [['mine', 'https://me:pw@example.com/'], /without a user name or password/],
  [['absent', 'https://example.com/'], /there is no key absent/],
  [['plain', '--off'], /plain has no webhook/],
  [['mine'], /takes an ID and a URL/],
])('penstock keys webhook %j is refused with a sentence', async (words, sentence) => {
  const ended = await penstock(['keys', 'webhook', ...words, '--file', file]);
  expect([ended.code, ended.stdout]).toEqual([1, '']);
  expect(ended.stderr).toMatch(sentence);
});
