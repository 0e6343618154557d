import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { JobV1 } from '#contract/job';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
/** gateway/README.md's time from a change of the key file to its effect in every replica. */
const PROMISED_MS = 5_000;

type Form = (key: string) => Record<string, string>;
/** Anthropic's header, only on its routes. */
const ANTHROPIC = 'x-api-key';
/** Every way to send a key, and whether the gateway must find it. */
const FORMS: readonly (readonly [name: string, form: Form, found: boolean])[] = [
  ['Authorization: Bearer', (key) => ({ authorization: `Bearer ${key}` }), true],
  ['authorization: bearer, blanks', (key) => ({ authorization: `bearer   ${key}` }), true],
  ['bare Authorization', (key) => ({ authorization: key }), true],
  ['api-key', (key) => ({ 'api-key': key }), true],
  ['both, equal', (key) => ({ authorization: `Bearer ${key}`, 'api-key': key }), true],
  ['api-key beside a wrong Bearer', (key) => ({ authorization: 'Bearer wrong', 'api-key': key }), true],
  ['Bearer beside a wrong api-key', (key) => ({ authorization: `Bearer ${key}`, 'api-key': 'wrong' }), true],
  ['bare beside an empty api-key', (key) => ({ authorization: key, 'api-key': '' }), true],
  ['none', () => ({}), false],
  ['an empty Bearer', () => ({ authorization: 'Bearer ' }), false],
  ['a wrong Bearer', () => ({ authorization: 'Bearer wrong' }), false],
  ['a wrong api-key', () => ({ 'api-key': 'wrong' }), false],
  ['two wrong ones', () => ({ authorization: 'wrong', 'api-key': 'wrong' }), false],
  ['Basic', (key) => ({ authorization: `Basic ${Buffer.from(`key:${key}`).toString('base64')}` }), false],
  ['another header', (key) => ({ 'x-apikey': key, 'ocp-apim-subscription-key': key }), false],
  [ANTHROPIC, (key) => ({ 'x-api-key': key }), false],
  ['a key that lacks its last letter', (key) => ({ authorization: `Bearer ${key.slice(0, -1)}` }), false],
];

/** Each caller with its scopes; `many` has a second key too. */
const NAMES = {
  all: [],
  'chat-route': ['--routes', '/v1/chat/completions'],
  'v1-routes': ['--routes', '/v1'],
  'azure-routes': ['--routes', '/openai,/models'],
  'score-route': ['--routes', '/score,/swagger.json'],
  'by-alias': ['--models', 'azureai'],
  'other-model': ['--models', 'Phi-4'],
} as const;
type Name = keyof typeof NAMES;
const names = Object.keys(NAMES) as Name[];

const messages = [{ role: 'user', content: 'hi' }];
const score = { input_data: { input_string: messages, parameters: { max_new_tokens: 1 } } };
/** Every route: its status for an allowed key, and for a key without the model. */
const ROUTES: readonly (readonly [
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body: object | undefined,
  status: number,
  otherModel: number,
])[] = [
  ['POST', '/v1/chat/completions', { model: MODEL, messages, max_tokens: 1 }, 200, 403],
  ['POST', '/v1/completions', { model: MODEL, prompt: 'hi', max_tokens: 1 }, 200, 403],
  ...['/v1/chat/completions', '/v1/completions', '/v1/messages'].map(
    (path) => ['POST', `${path}/cancel`, undefined, 400, 400] as const,
  ),
  ['POST', '/score', score, 200, 403],
  ['POST', '/score/', score, 200, 403],
  ['POST', '/score/cancel', undefined, 424, 424],
  ['GET', '/swagger.json', undefined, 200, 200],
  ['GET', '/openapi.json', undefined, 200, 200],
  ['GET', '/console/session', undefined, 200, 200],
  ['GET', '/console/models', undefined, 200, 200],
  ['GET', '/console/usage', undefined, 200, 200],
  ['GET', '/console/usage?days=0', undefined, 400, 400],
  // No key here has the scope for it.
  ['GET', '/console/live', undefined, 403, 403],
  ['POST', '/console/live', {}, 405, 405],
  ['POST', '/v1/responses', { model: MODEL, input: 'hi', max_output_tokens: 1, store: false }, 200, 403],
  ['GET', '/v1/responses/resp_1', undefined, 404, 404],
  ['DELETE', '/v1/responses/resp_1', undefined, 404, 404],
  ['POST', '/v1/responses/resp_1', {}, 405, 405],
  ['POST', '/v1/responses/resp_1/cancel', undefined, 404, 404],
  ['GET', '/v1/responses/resp_1/input_items', undefined, 404, 404],
  ['POST', '/tokenize', { model: MODEL, prompt: 'hi' }, 200, 403],
  ['POST', '/v1/messages', { model: MODEL, messages, max_tokens: 1 }, 200, 403],
  ['POST', '/v1/messages/count_tokens', { model: MODEL, messages }, 200, 403],
  ['POST', '/v1/messages/batches', {}, 404, 404],
  ['GET', '/v1/models', undefined, 200, 200],
  ['GET', '/models', undefined, 200, 200],
  ['GET', '/version', undefined, 200, 200],
  ['GET', `/v1/models/${MODEL}`, undefined, 200, 403],
  ['GET', `/v1/models/microsoft/${MODEL}`, undefined, 200, 403],
  ['GET', '/v1/chat/completions', undefined, 405, 405],
  ['POST', '/detokenize', {}, 404, 404],
  ['POST', '/v1/batches', {}, 400, 400],
  ['POST', '/v1/files', {}, 400, 400],
  ['POST', '/v1/uploads', {}, 400, 400],
  ['GET', '/v1/files', undefined, 400, 400],
  ['GET', '/v1/nothing', undefined, 404, 404],
  ['POST', '/v1//chat/completions', {}, 400, 400],
  ['POST', '/', {}, 404, 404],
];
const hi = { messages, max_tokens: 1 };
const prompt = { prompt: 'hi', max_tokens: 1 };
/** The same for Azure's other APIs. */
const AZURE_ROUTES: typeof ROUTES = [
  ['POST', '/chat/completions', hi, 200, 403],
  ['POST', '/completions', prompt, 200, 403],
  ['POST', '/models/chat/completions', hi, 200, 403],
  ['POST', '/models/completions', prompt, 200, 403],
  ['GET', '/info', undefined, 200, 403],
  ['GET', '/models/info', undefined, 200, 403],
  ['POST', '/embeddings', {}, 400, 400],
  ['POST', '/models/embeddings', {}, 400, 400],
  ['POST', '/images/embeddings', {}, 400, 400],
  ['POST', '/models/images/embeddings', {}, 400, 400],
  ['GET', '/models/nothing', undefined, 404, 404],
  ['POST', '/openai/deployments/azureai/chat/completions', hi, 200, 403],
  ['POST', `/openai/deployments/microsoft%2F${MODEL}/chat/completions`, hi, 200, 403],
  ['POST', '/openai/deployments/azureai/completions', prompt, 200, 403],
  ['POST', '/openai/deployments/azureai/embeddings', {}, 400, 400],
  ['POST', '/openai/deployments/nope/chat/completions', hi, 404, 404],
  ['POST', '/openai/v1/chat/completions', hi, 200, 403],
  ['POST', '/openai/v1/completions', prompt, 200, 403],
  ['POST', '/openai/chat/completions', hi, 200, 403],
  ['POST', '/openai/completions', prompt, 200, 403],
  ['POST', '/openai//v1/completions/', prompt, 200, 403],
  ['GET', '/openai/models', undefined, 200, 200],
  ['GET', `/openai/models/${MODEL}`, undefined, 200, 403],
  ['GET', '/openai/v1/models', undefined, 200, 200],
  ['GET', '/openai/v1/models/azureai', undefined, 200, 403],
  ['POST', '/openai/responses', { model: 'azureai', input: 'hi', max_output_tokens: 1, store: false }, 200, 403],
  ['POST', '/openai/v1/responses', { model: 'azureai', input: 'hi', max_output_tokens: 1, store: false }, 200, 403],
  ...['/openai/responses/resp_1', '/openai/v1/responses/resp_1'].flatMap((path) => [
    ['GET', path, undefined, 404, 404] as const,
    ['DELETE', path, undefined, 404, 404] as const,
    ['POST', `${path}/cancel`, undefined, 404, 404] as const,
    ['GET', `${path}/input_items`, undefined, 404, 404] as const,
  ]),
  ...['', '/models', '/openai', '/openai/v1', '/openai/deployments/azureai']
    .flatMap((base) => [`${base}/chat/completions/cancel`, `${base}/completions/cancel`])
    .map((path) => {
      // A request without its key is one of wrong form, which Azure's inference routes answer so.
      const status = path.startsWith('/openai') ? 400 : 422;
      return ['POST', path, undefined, status, status] as const;
    }),
  ['GET', '/openai/nothing', undefined, 404, 404],
];
/** Refused by name, for allowed keys. */
const ABSENT_ROUTES: typeof ROUTES = [
  'embeddings',
  'audio',
  'images',
  'videos',
  'moderations',
  'realtime',
  'rerank',
  'score',
  'fine_tuning',
  'evals',
  'assistants',
  'threads',
  'conversations',
  'vector_stores',
  'containers',
  'chat/completions/chat_1',
].map((path) => ['POST', `/v1/${path}`, {}, 404, 404] as const);
const ALL_ROUTES = [...ROUTES, ...AZURE_ROUTES, ...ABSENT_ROUTES];
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string(), type: z.string() }) });

const folder = temporaryFolder();
const file = join(folder.path, 'keys.yaml');
const keys = new Map<string, string>();
let stack: Stack;

async function create(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await penstock(['keys', 'create', '--file', file, ...args]);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
}
function keyOf(name: string): string {
  const key = keys.get(name);
  if (key === undefined) throw new Error(`no key ${name}`);
  return key;
}
function send(url: string, headers: Record<string, string>, method = 'GET', body?: object): Promise<Response> {
  return fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
const bearer: Form = (key) => ({ authorization: `Bearer ${key}` });

beforeAll(async () => {
  for (const name of names) keys.set(name, await create('--id', name, ...NAMES[name]));
  keys.set('all, secondary', await create('--id', 'all', '--secondary'));
  stack = await startStack({
    gateways: 2,
    gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_HOST: '0.0.0.0', GATEWAY_TOKENIZE: 'true' },
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function mayCall(name: Name, path: string): boolean {
  if (name === 'chat-route') return path.replace('//', '/').startsWith('/v1/chat/completions');
  if (name === 'azure-routes') return /^\/(openai|models)(\/|$)/.test(path);
  if (name === 'v1-routes') return path.startsWith('/v1/');
  return name === 'score-route' ? /^\/(score(\/|$)|swagger)/.test(path) : true;
}

test.each(ALL_ROUTES)(
  '%s %s: every form of a key, every scope',
  async (method, path, body, status, otherModel) => {
    const seen: string[] = [];
    const expected: string[] = [];
    for (const name of names) {
      const statuses = await Promise.all(
        FORMS.map(async ([, headers]) => {
          const response = await send(stack.url + path, headers(keyOf(name)), method, body);
          await response.arrayBuffer();
          return response.status;
        }),
      );
      for (const [index, [form, , found]] of FORMS.entries()) {
        seen.push(`${name}, ${form}: ${statuses[index]}`);
        const served = name === 'other-model' ? otherModel : status;
        const isFound = found || (form === ANTHROPIC && path.startsWith('/v1/messages'));
        const right = !isFound ? 401 : mayCall(name, path) ? served : 403;
        expected.push(`${name}, ${form}: ${right}`);
      }
    }
    expect(seen).toEqual(expected);
  },
  60_000,
);

test('the matrix has every operation of /openapi.json that requires a key', async () => {
  const Paths = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) });
  const { paths } = Paths.parse(await (await send(`${stack.url}/openapi.json`, bearer(keyOf('all')))).json());
  const inMatrix = (operation: string): boolean => {
    const [method, path = ''] = operation.split(' ');
    const pattern = new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^?]+')}$`);
    return ALL_ROUTES.some((route) => route[0] === method && pattern.test(route[1]));
  };
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(operations.length).toBeGreaterThan(20);
  expect(operations.filter((operation) => !inMatrix(operation))).toEqual([
    'GET /health',
    'GET /ping',
    'POST /ping',
    'GET /',
  ]);
});

test('E7: /health and /ping need no key, and report only health', async () => {
  for (const headers of [{}, bearer('wrong')])
    for (const [method, path] of [
      ['GET', '/health'],
      ['GET', '/ping'],
      ['POST', '/ping'],
    ] as const) {
      const response = await send(stack.url + path, headers, method);
      expect([path, response.status, await response.text()]).toEqual([path, 200, '']);
    }
});

test('/docs and its files need no key', async () => {
  for (const path of ['/docs', '/docs/swagger-ui.css', '/docs/start.js'])
    expect([path, (await send(stack.url + path, {})).status]).toEqual([path, 200]);
  expect((await send(`${stack.url}/docs`, {}, 'POST', {})).status).toBe(405);
});

test('a probe of / needs no key', async () => {
  for (const headers of [{}, bearer('wrong')]) {
    const response = await send(`${stack.url}/`, headers);
    expect([response.status, await response.json()]).toEqual([200, 'healthy']);
  }
});

test('401 and 403 in OpenAI’s form; the official SDK has a class for each', async () => {
  const path = `${stack.url}/v1/chat/completions`;
  for (const [headers, message] of [
    [{}, 'this request has no key; send it as Authorization: Bearer KEY or as api-key: KEY'],
    [bearer('sesame'), 'the key of this request is not known here, or has been revoked'],
    [
      bearer('eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJhIn0.c2ln'),
      'the key of this request is not known here, or has been revoked; it is a token, such as one of Entra ID: configure the client with a key',
    ],
  ] as const) {
    const response = await send(path, headers, 'POST', {});
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(response.headers.get('retry-after')).toBeNull();
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(Refused.parse(await response.json()).error).toEqual({
      code: 'unauthorized',
      message,
      type: 'authentication_error',
    });
  }
  const client = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${stack.url}/v1`, apiKey, maxRetries: 0 });
  await expect(client('sesame').models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  const forbidden = client(keyOf('score-route')).models.list();
  await expect(forbidden).rejects.toBeInstanceOf(OpenAI.PermissionDeniedError);
  await expect(forbidden).rejects.toThrow('the key score-route does not allow /v1/models');
});

test('401 and 403 in Anthropic’s form; its own key header works only on its routes', async () => {
  const hello = { model: MODEL, messages, max_tokens: 1 };
  const ask = (key: string, path = '/v1/messages') => send(stack.url + path, { 'x-api-key': key }, 'POST', hello);
  expect((await ask(keyOf('all'))).status).toBe(200);
  expect((await ask(keyOf('all'), '/v1/chat/completions')).status).toBe(401);
  for (const [key, status, type, code] of [
    ['wrong', 401, 'authentication_error', 'unauthorized'],
    [keyOf('score-route'), 403, 'permission_error', 'forbidden'],
  ] as const) {
    const refused = await ask(key);
    const body: unknown = await refused.json();
    expect([refused.status, body]).toMatchObject([status, { type: 'error', error: { type, code } }]);
    expect(body).toHaveProperty('request_id', refused.headers.get('request-id'));
  }
  const none = Refused.parse(await (await send(`${stack.url}/v1/messages`, {}, 'POST', {})).json());
  expect(none.error.message).toContain('as x-api-key: KEY');
});

test('401 and 403 in the form of Azure’s endpoint on /score', async () => {
  const unknown = await send(`${stack.url}/score`, { 'x-ms-client-request-id': 'mine' }, 'POST', score);
  expect([unknown.status, await unknown.text()]).toEqual([401, 'key_auth_access_denied']);
  expect(unknown.headers.get('content-type')).toContain('text/plain');
  expect(unknown.headers.get('azureml-model-deployment')).toBe('penstock');
  expect(unknown.headers.get('x-ms-client-request-id')).toBe('mine');
  expect(unknown.headers.get('x-ms-error-code')).toBe('unauthorized');
  expect(unknown.headers.get('ms-azureml-model-error-statuscode')).toBeNull();
  const forbidden = await send(`${stack.url}/score`, bearer(keyOf('other-model')), 'POST', score);
  expect([forbidden.status, Refused.parse(await forbidden.json()).error.code]).toEqual([403, 'forbidden']);
  expect(forbidden.headers.get('azureml-model-deployment')).toBe('penstock');
  expect(forbidden.headers.get('x-ms-error-code')).toBe('forbidden');
});

test('401 and 403 in the form of Azure’s other APIs', async () => {
  const path = `${stack.url}/chat/completions`;
  const unknown = await send(path, bearer('wrong'), 'POST', hi);
  expect([unknown.status, unknown.headers.get('x-ms-error-code')]).toEqual([401, 'unauthorized']);
  expect(await unknown.json()).toMatchObject({ error: { code: 'unauthorized', status: 401, details: [] } });
  expect(unknown.headers.get('azureml-model-deployment')).toBe('penstock');
  const forbidden = await send(path, bearer(keyOf('other-model')), 'POST', hi);
  expect([forbidden.status, forbidden.headers.get('x-ms-error-code')]).toEqual([403, 'forbidden']);
  const openai = await send(`${stack.url}/openai/models`, bearer('wrong'));
  expect([openai.status, Refused.parse(await openai.json()).error.code]).toEqual([401, '401']);
  expect(openai.headers.get('apim-request-id')).toBe(openai.headers.get('x-request-id'));
  for (const { headers } of [unknown, openai]) expect(headers.get('www-authenticate')).toBe('Bearer');
});

test('a list shows the models of its key only', async () => {
  const Listed = z.object({ data: z.array(z.object({ id: z.string() })) });
  const list = async (name: string): Promise<unknown> =>
    Listed.parse(await (await send(`${stack.url}/v1/models`, bearer(keyOf(name)))).json()).data;
  expect(await list('by-alias')).toEqual([{ id: MODEL }]);
  expect(await list('other-model')).toEqual([]);
});

test('a request with an invalid key, or a key without the model, creates no job', async () => {
  const before = await stack.metric('penstock_jobs_added_total');
  await send(`${stack.url}/score`, bearer('wrong'), 'POST', score);
  await send(`${stack.url}/score`, bearer(keyOf('other-model')), 'POST', score);
  expect(await stack.metric('penstock_jobs_added_total')).toBe(before);
});

test('one key cannot find another’s prompts in the cache; a second key of the same caller shares it', async () => {
  const Cached = z.object({ usage: z.object({ prompt_tokens_details: z.object({ cached_tokens: z.number() }) }) });
  const body = { model: MODEL, messages: [{ role: 'user', content: `${'a long tale '.repeat(200)}` }], max_tokens: 1 };
  const cached = async (name: string): Promise<number> => {
    const response = await send(`${stack.url}/v1/chat/completions`, bearer(keyOf(name)), 'POST', body);
    return Cached.parse(await response.json()).usage.prompt_tokens_details.cached_tokens;
  };
  expect(await cached('all')).toBe(0);
  expect(await cached('all, secondary')).toBeGreaterThan(100);
  expect(await cached('by-alias')).toBe(0);
  expect(await cached('v1-routes')).toBe(0);
});

test('log lines name the key by its id; no key is in any output, in a job or in the key file', async () => {
  await send(`${stack.url}/v1/chat/completions`, bearer('sesame-open'), 'POST', {});
  const outputs = (): string[] => [...stack.gateways, ...stack.launchers].map(({ output }) => output());
  await eventually(
    'the log names ids',
    () => /"keyId":"by-alias"/.test(outputs().join('')) && /"status":401,.*"keyId":"none"/.test(outputs().join('')),
  );
  const jobs = await finishedJobs();
  expect(jobs).not.toEqual([]);
  const everything = [...outputs(), JSON.stringify(jobs), await readFile(file, 'utf8')];
  for (const secret of [...keys.values(), 'sesame-open'])
    for (const text of everything) expect(text.includes(secret)).toBe(false);
});

async function finishedJobs(): Promise<JobV1[]> {
  const Parsed = z.object({ data: z.string() });
  const found: JobV1[] = [];
  for await (const names of stack.redis.server.scanStream({ match: '*:text:*-1', count: 1_000 }))
    for (const name of z.array(z.string()).parse(names)) {
      if ((await stack.redis.client.type(name)) !== 'hash') continue;
      found.push(JobV1.parse(JSON.parse(Parsed.parse(await stack.redis.client.hgetall(name)).data)));
    }
  return found;
}

/** Polls every replica until it answers with this status. @returns milliseconds until the last one did */
async function untilAll(key: string, status: number): Promise<number> {
  const since = performance.now();
  await Promise.all(
    stack.gateways.map(({ url }) =>
      eventually(
        `${url} answers ${status}`,
        async () => (await send(`${url}/v1/models`, bearer(key))).status === status,
        PROMISED_MS + 1_000,
      ),
    ),
  );
  return performance.now() - since;
}

test('every replica accepts a new key and refuses a revoked one, without a restart, within the promised time', async () => {
  const key = await create('--id', 'short-lived');
  expect(await untilAll(key, 200)).toBeLessThan(PROMISED_MS);
  await penstock(['keys', 'revoke', '--file', file, '--id', 'short-lived']);
  expect(await untilAll(key, 401)).toBeLessThan(PROMISED_MS);
});

test('if one of two keys of a caller is revoked, the other still works', async () => {
  const { code } = await penstock(['keys', 'revoke', '--file', file, '--id', 'all', '--primary']);
  expect(code).toBe(0);
  expect(await untilAll(keyOf('all'), 401)).toBeLessThan(PROMISED_MS);
  await untilAll(keyOf('all, secondary'), 200);
});

test('an invalid key file changes nothing, and is logged once', async () => {
  await writeFile(`${file}.bad`, 'keys: [{id: oslo, primary: plain-text-key}]');
  await copyFile(file, `${file}.good`);
  await rename(`${file}.bad`, file);
  const trouble = (): number => stack.gateways[0]?.output().split('the key file cannot be used').length ?? 0;
  await eventually('the problem is logged', () => trouble() === 2);
  await untilAll(keyOf('by-alias'), 200);
  expect(stack.gateways[0]?.output()).not.toContain('plain-text-key');
  await rename(`${file}.good`, file);
  await untilAll(keyOf('by-alias'), 200);
  expect(trouble()).toBe(2);
});
