import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const PAGE = 'https://chat.example.com';
const PREFLIGHT = {
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'authorization,content-type,x-stainless-lang',
};

let stack: Stack;
let key = '';
const folder = temporaryFolder();
beforeAll(async () => {
  const file = join(folder.path, 'keys.yaml');
  key = (await penstock(['keys', 'create', '--file', file, '--id', 'page'])).stdout.trim();
  const gatewayEnv = { GATEWAY_KEYS_FILE: file, GATEWAY_CORS_ORIGINS: `${PAGE}, https://other.example.com` };
  stack = await startStack({ launchers: 0, gatewayEnv });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const preflight = (origin: string, path = '/v1/chat/completions') =>
  fetch(stack.url + path, { method: 'OPTIONS', headers: { origin, ...PREFLIGHT } });

test('a CORS preflight of a listed page is accepted without a key, with all its headers', async () => {
  for (const path of ['/v1/chat/completions', '/v1/models', '/score']) {
    const { status, headers } = await preflight(PAGE, path);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(headers.get('access-control-allow-headers')).toBe(PREFLIGHT['access-control-request-headers']);
    expect(headers.get('vary')).toContain('Origin');
  }
});

test('another page gets no CORS permission', async () => {
  expect((await preflight('https://evil.example.com')).headers.get('access-control-allow-origin')).toBeNull();
  expect((await preflight(`${PAGE}.evil.example.com`)).headers.get('access-control-allow-origin')).toBeNull();
});

test('E10: another page, or no page, does not learn what a listed page may do', async () => {
  for (const origin of ['https://evil.example.com', 'null', `${PAGE}:8443`, PAGE.toUpperCase()]) {
    const { status, headers } = await preflight(origin);
    const names = [...headers.keys()].filter((name) => name.startsWith('access-control-'));
    expect([origin, status, names, headers.get('vary')]).toEqual([origin, 401, [], 'Origin']);
  }
  const plain = await fetch(`${stack.url}/v1/models`);
  expect([plain.headers.get('access-control-expose-headers'), plain.headers.get('vary')]).toEqual([null, 'Origin']);
});

test('E10: a page may read every header about a failure', async () => {
  const body = JSON.stringify({ input_data: {} });
  const headers = { origin: PAGE, authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await fetch(`${stack.url}/score`, { method: 'POST', headers, body });
  expect(answer.status).toBe(424);
  const exposed = (answer.headers.get('access-control-expose-headers') ?? '').split(',');
  for (const name of ['retry-after-ms', 'apim-request-id', 'x-ms-client-request-id', 'ms-azureml-model-time'])
    expect(exposed).toContain(name);
  // A browser always exposes these.
  const shown = /^(access-control-|vary$|content-|date$|connection$|keep-alive$|transfer-encoding$|x-content-type)/;
  expect([...answer.headers.keys()].filter((name) => !shown.test(name) && !exposed.includes(name))).toEqual([]);
});

test('the request itself needs a key, and a page may read the answer, also a refusal', async () => {
  const ask = (headers: Record<string, string>) =>
    fetch(`${stack.url}/v1/models`, { headers: { origin: PAGE, ...headers } });
  const refused = await ask({});
  expect(refused.status).toBe(401);
  expect(refused.headers.get('access-control-allow-origin')).toBe(PAGE);
  const served = await ask({ authorization: `Bearer ${key}` });
  expect(served.status).toBe(200);
  for (const name of ['x-request-id', 'retry-after', 'x-penstock-ignored'])
    expect(served.headers.get('access-control-expose-headers')).toContain(name);
});

test('without the setting there are no CORS headers', async () => {
  await using closed = await startStack({ launchers: 0 });
  const headers = { origin: PAGE, ...PREFLIGHT };
  const answer = await fetch(`${closed.url}/v1/chat/completions`, { method: 'OPTIONS', headers });
  expect(answer.status).toBe(403);
  expect(answer.headers.get('access-control-allow-origin')).toBeNull();
});

test('a star allows every page', async () => {
  await using open = await startStack({ launchers: 0, gatewayEnv: { GATEWAY_CORS_ORIGINS: '*' } });
  const answer = await fetch(`${open.url}/v1/models`, { headers: { origin: 'https://any.example.com' } });
  expect(answer.headers.get('access-control-allow-origin')).toBe('*');
});
