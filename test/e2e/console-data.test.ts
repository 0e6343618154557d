import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { ConsoleModels, ConsoleSession, ConsoleUsage, type LiveRequest, type LiveView } from '#contract/console';
import { eventually } from '../support/eventually.ts';
import { openLiveView } from '../support/live-view.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const BUILT = 'dist/gateway/console/index.html';
/** What browsers send when an address is opened. */
const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
/** In prompts only. */
const CANARY = 'canary-7f3a';
const CALLERS = { oslo: [], bergen: [], operator: ['--scope', 'operate'] } as const;
type Name = keyof typeof CALLERS;

const folder = temporaryFolder();
const file = join(folder.path, 'keys.yaml');
const keys = new Map<string, string>();
let stack: Stack;
/** a gateway without keys on the same Redis, open to pages of all sites */
let keyless: Awaited<ReturnType<Stack['startGateway']>>;

const create = async (id: string, more: readonly string[]): Promise<Record<string, string>> => {
  const { stdout } = await penstock(['keys', 'create', '--file', file, '--id', id, ...more]);
  keys.set(id, stdout.trim());
  return { authorization: `Bearer ${stdout.trim()}` };
};
const as = (name: Name): Record<string, string> => ({ authorization: `Bearer ${keys.get(name) ?? ''}` });
const get = (path: string, headers: Record<string, string>, url = stack.url) => fetch(url + path, { headers });
const post = (path: string, headers: Record<string, string>, body: object, url = stack.url) =>
  fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
const chat = (text: string) => ({ model: MODEL, messages: [{ role: 'user', content: text }], max_tokens: 2 });

beforeAll(async () => {
  for (const [id, more] of Object.entries(CALLERS)) await create(id, more);
  stack = await startStack({ engines: 2, gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_USAGE_DAYS: '7' } });
  keyless = await stack.startGateway({ GATEWAY_KEYS_FILE: '', GATEWAY_CORS_ORIGINS: '*' });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test('the page is for browsers, and Azure’s probe gets the answer of Azure’s containers', async () => {
  for (const headers of [{}, { accept: '*/*' }, { accept: 'application/json' }])
    expect(await (await get('/', headers)).json()).toBe('healthy');
  const page = await get('/', BROWSER);
  const html = await page.text();
  // The build of the page is a step of its own.
  expect(html).toBe(existsSync(BUILT) ? readFileSync(BUILT, 'utf8') : '"healthy"');
  const assets = [...html.matchAll(/(?:src|href)="(\/console\/assets\/[^"]+)"/g)].map(([, path = '']) => path);
  for (const path of assets) {
    const asset = await get(path, {});
    expect([path, asset.status, asset.headers.get('cache-control')]).toEqual([
      path,
      200,
      'public, max-age=31536000, immutable',
    ]);
  }
  expect(existsSync(BUILT)).toBe(assets.length > 0);
});

test('a wrong path in a browser gets a page with links; other clients get the error', async () => {
  for (const [url, status] of [
    [stack.url, 401],
    [keyless.url, 404],
  ] as const) {
    const page = await get('/chat', BROWSER, url);
    expect([page.status, page.headers.get('content-security-policy')?.slice(0, 18)]).toEqual([
      status,
      "default-src 'none'",
    ]);
    expect(await page.text()).toMatch(/href="\/".*href="\/docs"/s);
    expect(await (await get('/chat', {}, url)).json()).toHaveProperty('error.code');
  }
});

test('the data need a key; each caller sees its own; the live view needs the scope operate', async () => {
  for (const path of ['/console/session', '/console/models', '/console/usage', '/console/live']) {
    const refused = await get(path, {});
    expect([path, refused.status, await refused.json()]).toMatchObject([
      path,
      401,
      { error: { code: 'unauthorized' } },
    ]);
  }
  const session = async (name: Name) => ConsoleSession.parse(await (await get('/console/session', as(name))).json());
  expect(await session('oslo')).toMatchObject({ keys: true, keyId: 'oslo', operate: false });
  expect(await session('operator')).toMatchObject({ keys: true, keyId: 'operator', operate: true });
  const anonymous = await get('/console/session', {}, keyless.url);
  expect(await anonymous.json()).toMatchObject({ keys: false, keyId: 'anonymous', operate: true });
  expect(anonymous.headers.get('cache-control')).toBe('no-store');

  await using live = await openLiveView(stack.url, as('oslo'));
  expect([live.status, live.refusal]).toMatchObject([403, { error: { code: 'forbidden' } }]);
  expect(JSON.stringify(live.refusal)).toContain('penstock keys set --id oslo --scope operate');
});

test('the models have their rules in sentences', async () => {
  const { models } = ConsoleModels.parse(await (await get('/console/models', as('oslo'))).json());
  expect(models).toMatchObject([{ name: MODEL, images: 1, readyEngines: 2, contextTokens: 131_072 }]);
  expect(models[0]?.rules).toContain(`${MODEL} takes 1 image per conversation (all turns counted).`);
  expect(models[0]?.notice?.link).toMatch(/^https:/);
});

test('usage: a key sees its own, an operator all; bad days are refused with the limit', async () => {
  for (const name of ['oslo', 'bergen'] as const)
    expect((await post('/v1/chat/completions', as(name), chat('hi'))).status).toBe(200);
  const rows = async (name: Name, days = '') =>
    ConsoleUsage.parse(await (await get(`/console/usage${days}`, as(name))).json()).rows;
  const requests = (of: Awaited<ReturnType<typeof rows>>, key: string): number =>
    of.filter((row) => row.key === key).reduce((sum, { counts }) => sum + counts.requests, 0);
  await eventually('the usage is booked', async () => {
    const all = await rows('operator', '?days=1');
    return requests(all, 'oslo') === 1 && requests(all, 'bergen') === 1;
  });
  const own = await rows('oslo', '?days=7');
  expect([...new Set(own.map(({ key }) => key))]).toEqual(['oslo']);
  for (const days of ['0', '8', '-1', '1e0', 'x', '', '1&days=2']) {
    const refused = await get(`/console/usage?days=${days}`, as('oslo'));
    expect([days, refused.status, await refused.json()]).toMatchObject([
      days,
      400,
      { error: { code: 'invalid_request', message: 'days must be a whole number from 1 to 7', param: 'days' } },
    ]);
  }
});

const allRequests = (views: readonly LiveView[]): LiveRequest[] => views.flatMap(({ requests }) => requests);

test('the live view shows a request within two seconds, with its phases and without its content', async () => {
  await using live = await openLiveView(stack.url, as('operator'));
  expect([live.status, live.headers.get('content-type'), live.headers.get('cache-control')]).toEqual([
    200,
    'text/event-stream; charset=utf-8',
    'no-store',
  ]);
  await eventually('the first event', () => live.views.length > 0);
  const sentAt = performance.now();
  const image = { type: 'image_url', image_url: { url: `https://${CANARY}.example/a.png` } };
  const two = { model: MODEL, messages: [{ role: 'user', content: [image, image, { type: 'text', text: CANARY }] }] };
  await post('/v1/chat/completions', as('oslo'), { ...chat(CANARY), user: CANARY });
  await post('/v1/chat/completions', as('bergen'), two);
  await get(`/v1/models/${CANARY}`, as('bergen'));
  const seen = await eventually('both requests', () => {
    const found = allRequests(live.views).filter(({ endedAt }) => Date.parse(endedAt) >= Date.now() - 60_000);
    return found.some(({ outcome }) => outcome === 'too_many_images') && found;
  });
  expect(performance.now() - sentAt).toBeLessThan(5_000);
  const answered = seen.findLast(({ keyId, outcome }) => keyId === 'oslo' && outcome === 'answered');
  expect(answered).toMatchObject({
    model: MODEL,
    dialect: 'openai',
    path: '/v1/chat/completions',
    kind: 'text',
    status: 200,
  });
  expect(answered).toMatchObject({ completionTokens: 2, repeats: 0 });
  const { enqueuedMs = -1, claimedMs = -1, firstByteMs = Infinity, totalMs = -1 } = answered ?? {};
  expect([enqueuedMs >= 0, claimedMs >= enqueuedMs, totalMs >= claimedMs]).toEqual([true, true, true]);
  expect(firstByteMs).toBeGreaterThanOrEqual(claimedMs);
  const view = live.views.at(-1);
  expect(view?.engines.map(({ state, restarts }) => [state, restarts])).toEqual([
    ['ready', 0],
    ['ready', 0],
  ]);
  expect(view?.queues.map(({ model, kind, waiting }) => [model, kind, waiting])).toEqual([
    [MODEL, 'text', 0],
    [MODEL, 'image', 0],
  ]);
  expect(view?.redis[0]).toMatchObject({ name: 'queue', state: 'ok' });
  expect(view?.admission['admitted']).toBeGreaterThan(0);
  for (const secret of [CANARY, ...keys.values()]) expect(live.text()).not.toContain(secret);
});

test('the live view shows an engine that is killed, why, and that it is back', async () => {
  await using live = await openLiveView(stack.url, as('operator'));
  const [worker] = (await stack.status()).workers;
  const [engine] = worker?.engines ?? [];
  if (engine?.pid === undefined || engine.pid === null) throw new Error('no engine runs');
  const states = () =>
    live.views.flatMap(({ engines }) => engines.filter(({ id }) => id === engine.id).map((one) => one));
  await eventually('the engine is shown', () => states().length > 0);
  process.kill(engine.pid, 'SIGKILL');
  const down = await eventually('it is shown as down, with the cause', () =>
    states().find(({ state, lastFailure }) => state !== 'ready' && lastFailure !== null),
  );
  expect(down).toMatchObject({ lastFailure: expect.stringMatching(/SIGKILL/) });
  await eventually(
    'it is shown as back',
    () => states().at(-1)?.state === 'ready' && states().at(-1)?.restarts === 1,
    60_000,
  );
  expect(states().at(-1)?.lastFailure).toMatch(/SIGKILL/);
}, 90_000);

test('a key has five live views at most; a revoked key has none', async () => {
  const headers = await create('leaver', ['--scope', 'operate']);
  await eventually('the key is known', async () => (await get('/console/session', headers)).ok);
  const five = await Promise.all(Array.from({ length: 5 }, () => openLiveView(stack.url, headers)));
  try {
    const sixth = await openLiveView(stack.url, headers);
    expect([sixth.status, sixth.headers.get('retry-after')]).toEqual([429, '10']);
    expect(sixth.refusal).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    await five[0]?.[Symbol.asyncDispose]();
    await eventually('its place is free', async () => {
      await using again = await openLiveView(stack.url, headers);
      return again.status === 200;
    });
    await penstock(['keys', 'revoke', '--file', file, '--id', 'leaver']);
    await five[1]?.ended;
    expect((await get('/console/session', headers)).status).toBe(401);
  } finally {
    await Promise.all(five.map((one) => one[Symbol.asyncDispose]()));
  }
}, 60_000);

test('pages of other sites read no data of a gateway without keys, even if they may call it', async () => {
  const evil = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
  expect((await get('/v1/models', evil, keyless.url)).status).toBe(200);
  for (const path of ['/console/session', '/console/models', '/console/usage', '/console/live']) {
    const refused = await get(path, evil, keyless.url);
    expect([path, refused.status, await refused.json()]).toMatchObject([path, 403, { error: { code: 'forbidden' } }]);
  }
  const own = { origin: keyless.url, 'sec-fetch-site': 'same-origin' };
  expect((await get('/console/session', own, keyless.url)).status).toBe(200);
});

const Waited = z.string().regex(/^\d+$/);
test('the four forms of a request that the console shows work from its own page, and tell their wait', async () => {
  const own = { origin: keyless.url, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };
  const streamed = { ...chat('hi'), stream: true, stream_options: { include_usage: true } };
  const stream = await post('/v1/chat/completions', own, streamed, keyless.url);
  expect(await stream.text()).toMatch(/"usage":\{.*data: \[DONE\]/s);
  const score = { input_data: { input_string: chat('hi').messages, parameters: { max_new_tokens: 2 } } };
  const scored = await post('/score', own, score, keyless.url);
  expect(await scored.json()).toHaveProperty('output');
  const whole = await post('/v1/chat/completions', own, chat('hi'), keyless.url);
  expect(await whole.json()).toHaveProperty('usage.completion_tokens');
  const responses = await post('/v1/responses', own, { model: MODEL, input: 'hi', max_output_tokens: 2 }, keyless.url);
  expect(await responses.json()).toHaveProperty('output');
  for (const { headers } of [stream, scored, whole, responses])
    expect(Waited.safeParse(headers.get('x-penstock-queue-wait-ms')).success).toBe(true);
});

test('a gateway that stops ends its live views, and does not wait for them', async () => {
  await using live = await openLiveView(keyless.url, {});
  await eventually('the first event', () => live.views.length > 0);
  keyless.child.kill('SIGTERM');
  await live.ended;
  await eventually('the gateway ends', () => keyless.child.exitCode === 0, 20_000);
}, 60_000);
