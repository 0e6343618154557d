import { createHmac } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI, { AzureOpenAI } from 'openai';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { providerFile, startTokenServer, TENANT, type TokenServer } from '../support/token-server.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
/** gateway/README.md's time from a change of the file to its effect. */
const PROMISED_MS = 5_000;
const messages = [{ role: 'user' as const, content: 'hi' }];
const hi = { model: MODEL, messages, max_tokens: 1 };
/** One route of each dialect. */
const ROUTES: readonly (readonly [path: string, body: object])[] = [
  ['/v1/chat/completions', hi],
  ['/v1/completions', { model: MODEL, prompt: 'hi', max_tokens: 1 }],
  ['/v1/responses', { model: MODEL, input: 'hi', max_output_tokens: 1, store: false }],
  ['/v1/messages', hi],
  ['/score', { input_data: { input_string: messages, parameters: { max_new_tokens: 1 } } }],
  ['/models/chat/completions', hi],
  ['/openai/deployments/azureai/chat/completions', hi],
];
const ALLOW = [
  { role: 'operator', routes: ['/v1', '/openai'], weight: 4 },
  { role: 'limited', limits: { requests_per_minute: 1 } },
  { role: 'elsewhere', models: ['Phi-4'] },
  { role: 'user' },
];
const ID = `entra:${TENANT}`;
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
const Line = z.looseObject({ event: z.string(), keyId: z.string().optional(), status: z.number().optional() });
const Usage = z.object({ usage: z.array(z.looseObject({ key: z.string() })) });
const Status = z.object({ issuers: z.array(z.looseObject({ state: z.string(), keys: z.number() })) });

const folder = temporaryFolder();
const [keys, identity] = [join(folder.path, 'keys.yaml'), join(folder.path, 'identity.yaml')];
let server: TokenServer;
let late: TokenServer;
let key: string;
let stack: Stack;

beforeAll(async () => {
  [server, late] = await Promise.all([startTokenServer(), startTokenServer('late')]);
  await late.shut();
  const [ours, theirs] = [
    providerFile(server.issuer, ALLOW),
    providerFile(late.issuer, [{ any: true }], { name: 'late', tenants: ['late'] }),
  ].map((text) => z.object({ providers: z.array(z.unknown()) }).parse(JSON.parse(text)).providers);
  await writeFile(identity, JSON.stringify({ providers: [...(ours ?? []), ...(theirs ?? [])] }));
  key = (await penstock(['keys', 'create', '--file', keys, '--id', 'oslo'])).stdout.trim();
  stack = await startStack({
    gatewayEnv: {
      GATEWAY_KEYS_FILE: keys,
      GATEWAY_IDENTITY_FILE: identity,
      GATEWAY_HOST: '0.0.0.0',
      GATEWAY_USAGE_METRICS: 'true',
    },
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  await Promise.all([server, late].map((one) => one[Symbol.asyncDispose]()));
  folder[Symbol.dispose]();
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
function send(path: string, body: object | undefined, headers: Record<string, string>, method = 'POST') {
  return fetch(stack.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
const lines = () =>
  (stack.gateways[0]?.output() ?? '')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => Line.parse(JSON.parse(line)));
const seconds = (): number => Math.floor(Date.now() / 1_000);

/** Tokens, the status of each route, and why a 401 refuses. */
const TOKENS: readonly (readonly [name: string, make: () => Promise<string>, status: number, description: string])[] = [
  ['good', () => server.token(), 200, ''],
  ['within the skew', () => server.token({ claims: { exp: seconds() - 20 } }), 200, ''],
  ['expired', () => server.token({ claims: { exp: seconds() - 100 } }), 401, 'the token has expired'],
  ['not valid yet', () => server.token({ claims: { nbf: seconds() + 200 } }), 401, 'the token is not valid yet'],
  ['for another audience', () => server.token({ claims: { aud: 'x' } }), 401, 'the token is for another audience'],
  [
    'of another issuer',
    () => server.token({ claims: { iss: 'https://x' } }),
    401,
    'the token is of an issuer or tenant that is not known here',
  ],
  [
    'of another tenant',
    () => server.token({ claims: { tid: 'x' } }),
    401,
    'the token is of a tenant that is not allowed here',
  ],
  [
    'unsigned',
    () => server.forged({ header: { alg: 'none' } }, () => ''),
    401,
    'the token is signed with an algorithm that is not allowed here',
  ],
  [
    'signed with the public key',
    () =>
      server.forged({ header: { alg: 'HS256' } }, (text, pem) =>
        createHmac('sha256', pem).update(text).digest('base64url'),
      ),
    401,
    'the token is signed with an algorithm that is not allowed here',
  ],
  [
    'with an unknown key',
    () => server.token({ header: { kid: 'x' } }),
    401,
    'the token is signed with a key that its issuer does not have',
  ],
  ['garbage', async () => 'eyJhbGciOiJSUzI1NiJ9.garbage.garbage', 401, 'the token is not a JSON Web Token'],
  [
    'too long',
    () =>
      server.token({ claims: { groups: Array.from({ length: 300 }, (_, at) => `a-group-with-a-long-name-${at}`) } }),
    401,
    'the token is longer than 12288 characters',
  ],
  ['without a role', () => server.token({ claims: { roles: [] } }), 403, ''],
  ['of an issuer that was never reached', () => late.token({ claims: { tid: 'late' } }), 503, ''],
];

test.each(TOKENS)('a token that is %s', async (_name, make, status, description) => {
  const token = await make();
  for (const [path, body] of ROUTES) {
    const answer = await send(path, body, bearer(token));
    const text = await answer.text();
    expect([path, answer.status]).toEqual([path, status]);
    expect(text).not.toContain(token);
    if (status === 401)
      expect(answer.headers.get('www-authenticate')).toBe(
        `Bearer error="invalid_token", error_description="${description}"`,
      );
    if (status === 403) expect(answer.headers.get('www-authenticate')).toBe('Bearer error="insufficient_scope"');
    if (status === 503) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    if (status === 401 && path !== '/score') expect(Refused.parse(JSON.parse(text)).error.message).toBe(description);
  }
  expect(stack.gateways[0]?.output()).not.toContain(token.slice(-20));
});

test('keys and tokens work beside each other, and one valid one is enough', async () => {
  const token = await server.token();
  const bad = await server.token({ claims: { aud: 'x' } });
  for (const headers of [
    bearer(key),
    { 'api-key': key },
    { 'api-key': token },
    { authorization: token },
    { ...bearer(bad), 'api-key': key },
    { ...bearer('wrong'), 'api-key': token },
    { ...bearer(bad), 'api-key': token },
  ])
    expect((await send('/v1/chat/completions', hi, headers)).status).toBe(200);
  for (const headers of [{}, bearer('wrong'), { ...bearer(bad), 'api-key': 'wrong' }])
    expect((await send('/v1/chat/completions', hi, headers)).status).toBe(401);
  expect((await send('/v1/models', undefined, {}, 'GET')).status).toBe(401);
});

test('a role allows routes, models and limits as a key does', async () => {
  const as = async (role: string, oid = role) => bearer(await server.token({ claims: { roles: [role], oid } }));
  expect((await send('/v1/chat/completions', hi, await as('operator'))).status).toBe(200);
  expect((await send('/score', {}, await as('operator'))).status).toBe(403);
  expect((await send('/v1/chat/completions', hi, await as('elsewhere'))).status).toBe(403);
  const statuses = [];
  for (const who of ['one', 'one', 'two'])
    statuses.push((await send('/v1/chat/completions', hi, await as('limited', who))).status);
  // The limit is of each caller.
  expect(statuses).toEqual([200, 429, 200]);
});

test("OpenAI's SDK works, as Azure's client too, with a token in the place of its key, or with a function that gives one", async () => {
  const chat = async (apiKey: string | (() => Promise<string>)) =>
    new OpenAI({ apiKey, baseURL: `${stack.url}/v1`, maxRetries: 0 }).chat.completions.create(hi);
  expect((await chat(await server.token())).choices).toHaveLength(1);
  expect((await chat(() => server.token())).choices).toHaveLength(1);
  const azure = new AzureOpenAI({
    azureADTokenProvider: () => server.token(),
    endpoint: stack.url,
    apiVersion: '2024-10-21',
    deployment: 'azureai',
    maxRetries: 0,
  });
  expect((await azure.chat.completions.create(hi)).choices).toHaveLength(1);
  const expired = server.token({ claims: { exp: 1 } });
  await expect(chat(() => expired)).rejects.toMatchObject({ status: 401, code: 'unauthorized' });
});

test('a caller has one id in log, usage and metrics, whatever its token; other callers do not see its answers', async () => {
  const ask = { model: MODEL, input: 'hi', max_output_tokens: 1, store: true };
  const of = async (oid: string, jti: string) => bearer(await server.token({ claims: { oid, jti } }));
  const made = await send('/v1/responses', ask, await of('carol', '1'));
  const { id } = z.object({ id: z.string() }).parse(await made.json());
  const statusFor = async (headers: Record<string, string>) =>
    (await send(`/v1/responses/${id}`, undefined, headers, 'GET')).status;
  expect(await statusFor(await of('carol', '2'))).toBe(200);
  expect(await statusFor(await of('dave', '1'))).toBe(404);
  expect(await statusFor(bearer(key))).toBe(404);

  const once = async (headers: Record<string, string>) =>
    (await send('/score', ROUTES[4]?.[1], { ...headers, 'idempotency-key': 'order' })).headers.get(
      'idempotent-replayed',
    );
  expect(await once(await of('carol', '1'))).toBeNull();
  expect(await once(await of('carol', '2'))).toBe('true');
  expect(await once(await of('dave', '1'))).toBeNull();

  await eventually('the log has it', () =>
    lines().some(({ keyId, status }) => keyId === `${ID}:carol` && status === 200),
  );
  const internal = stack.gateways[0]?.internalUrl ?? '';
  await eventually('the usage has it', async () =>
    Usage.parse(await (await fetch(`${internal}/usage`)).json()).usage.some((row) => row.key === `${ID}:carol`),
  );
  expect(await (await fetch(`${internal}/metrics`)).text()).toContain(`key="${ID}:carol"`);
});

test('an issuer that comes late is used; the status tells about both', async () => {
  const internal = stack.gateways[0]?.internalUrl ?? '';
  const states = async () =>
    Status.parse(await (await fetch(`${internal}/status`)).json()).issuers.map(({ state }) => state);
  expect(await states()).toEqual(['ok', 'failing']);
  await late.open();
  await eventually(
    'it serves',
    async () => (await send('/v1/chat/completions', hi, bearer(await late.token({ claims: { tid: 'late' } })))).ok,
  );
  expect(await states()).toEqual(['ok', 'ok']);
  expect(lines().filter(({ event }) => event === 'an issuer answers again')).toHaveLength(1);
});

test('a revoked role is refused within 5 seconds, and with only providers a key is still required', async () => {
  const token = await server.token();
  const status = async () => (await send('/v1/models', undefined, bearer(token), 'GET')).status;
  expect(await status()).toBe(200);
  await writeFile(identity, providerFile(server.issuer, [{ role: 'operator' }]));
  await eventually('the role is revoked', async () => (await status()) === 403, PROMISED_MS);
  const only = await stack.startGateway({ GATEWAY_KEYS_FILE: '' });
  expect((await fetch(`${only.url}/v1/models`)).status).toBe(401);
  expect((await fetch(`${only.url}/v1/models`, { headers: bearer(key) })).status).toBe(401);
  const admin = await server.token({ claims: { roles: ['operator'] } });
  expect((await fetch(`${only.url}/v1/models`, { headers: bearer(admin) })).status).toBe(200);
});
