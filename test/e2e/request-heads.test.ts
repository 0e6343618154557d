import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { hashOfKey } from '../../gateway/keys/key-ring.ts';
import { eventually } from '../support/eventually.ts';
import { bodyOf, headerOf, rawConnection } from '../support/raw-connection.ts';
import { startStack, type Stack } from '../support/stack.ts';

const PAGE = 'https://chat.example.com';
const MODELS = 'GET /v1/models HTTP/1.1';
const CHAT = 'POST /v1/chat/completions HTTP/1.1';
const BODY = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 });
const LENGTH = `content-length: ${BODY.length}`;

const folder = mkdtempSync(join(tmpdir(), 'penstock-heads-'));
const keysFile = join(folder, 'keys.yaml');
let stack: Stack;
/** a stack with keys */
let locked: Stack['gateways'][number];
beforeAll(async () => {
  writeFileSync(keysFile, `keys:\n  - id: one\n    primary: ${hashOfKey('secret').toString('hex')}\n`);
  stack = await startStack({
    gatewayEnv: { GATEWAY_CORS_ORIGINS: PAGE, GATEWAY_HOSTS: 'gate.lan' },
    workerEnv: { WORKER_HOSTS: 'worker.lan' },
  });
  locked = await stack.startGateway({ GATEWAY_KEYS_FILE: keysFile, GATEWAY_CORS_ORIGINS: '' });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Sends bytes and reads until the connection closes, on request or because of the fault. */
async function ask(url: string, bytes: string | Buffer): Promise<{ status: number; text: string }> {
  const connection = await rawConnection(url, bytes);
  await connection.closed;
  if (!connection.socket.destroyed) await once(connection.socket, 'close');
  return { status: connection.status(), text: connection.text() };
}
const head = (...lines: readonly string[]): string => [...lines, 'connection: close', '', ''].join('\r\n');

const CROOKED: readonly (readonly [what: string, bytes: string | Buffer, status: number])[] = [
  ['no Host', head(MODELS), 400],
  ['no Host beside an absolute target', head('GET http://localhost/v1/models HTTP/1.1'), 400],
  ['two Hosts', head(MODELS, 'host: localhost', 'host: localhost'), 400],
  ['two Hosts in different case', head(MODELS, 'Host: localhost', 'HOST: evil'), 400],
  ['an invalid Host', head(MODELS, 'host: a b'), 400],
  ['a Host with a user', head(MODELS, 'host: a@localhost'), 400],
  ['two Hosts in one', head(MODELS, 'host: localhost, localhost'), 400],
  ['HTTP/0.9', 'GET /v1/models\r\n\r\n', 400],
  ['HTTP/0.9 by name', 'GET /v1/models HTTP/0.9\r\n\r\n', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['TLS', Buffer.from('16030100a5010000a10303', 'hex'), 400],
  ['CONNECT', head('CONNECT localhost:80 HTTP/1.1', 'host: localhost:80'), 405],
  ['GET *', head('GET * HTTP/1.1', 'host: localhost'), 400],
  ['a target of another scheme', head('GET ftp://localhost/ HTTP/1.1', 'host: localhost'), 400],
  ['an invalid method', head('HELLO / HTTP/1.1', 'host: localhost'), 400],
  ['another transfer coding', head(CHAT, 'host: localhost', 'transfer-encoding: gzip, chunked') + '0\r\n\r\n', 400],
  ['a last transfer coding that is not chunked', head(CHAT, 'host: localhost', 'transfer-encoding: gzip'), 400],
  ['two lengths', head(CHAT, 'host: localhost', 'content-length: 3', 'content-length: 4'), 400],
  ['an invalid length', head(CHAT, 'host: localhost', 'content-length: -1'), 400],
  ['length and chunks', head(CHAT, 'host: localhost', 'content-length: 3', 'transfer-encoding: chunked'), 400],
  ['an invalid chunk', head(CHAT, 'host: localhost', 'transfer-encoding: chunked') + 'zz\r\n', 400],
  [
    'chunk extensions without end',
    head(CHAT, 'host: localhost', 'transfer-encoding: chunked') + `1;${'x'.repeat(20_000)}`,
    400,
  ],
  ['headers above 16 kB', head(MODELS, 'host: localhost', `x: ${'x'.repeat(20_000)}`), 431],
  ['a folded header', head(MODELS, 'host: localhost', 'x: a', ' b'), 400],
  ['a path with invalid encoding', head('GET /v1/models/%ff HTTP/1.1', 'host: localhost'), 404],
  ['a path that ends in a percent sign', head('GET /v1/models/% HTTP/1.1', 'host: localhost'), 404],
];

const IN_THE_BODY = /^(an invalid chunk|chunk extensions)/;

test.each(CROOKED)('B4, N17: %s: JSON, ids, a line in the log, a count, on both ports', async (what, bytes, status) => {
  const { url, internalUrl, output } = stack.gateways[0] ?? locked;
  const count = (): Promise<number> => stack.metric('penstock_refusals_total');
  for (const port of [url, internalUrl]) {
    const before = await count();
    const answer = await ask(port, bytes);
    // An unknown route is refused before a fault of the body is found.
    const expected = port === internalUrl && IN_THE_BODY.test(what) ? 404 : status;
    expect([port, answer.status]).toEqual([port, expected]);
    const id = headerOf(answer.text, 'x-request-id') ?? '';
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(headerOf(answer.text, 'x-ms-request-id')).toBe(id);
    expect(headerOf(answer.text, 'content-type')).toContain('application/json');
    expect(headerOf(answer.text, 'x-content-type-options')).toBe('nosniff');
    expect(bodyOf(answer.text)).toMatchObject({
      error: { code: expect.any(String), message: expect.stringMatching(/^.{10,300}$/) },
    });
    const line = await eventually('the log line', () =>
      output()
        .split('\n')
        .find((one) => one.includes(id)),
    );
    expect(JSON.parse(line)).toMatchObject({ event: 'request', status: expected, outcome: expect.any(String) });
    expect(await count()).toBe(before + 1);
  }
});

test.each([
  ['an absolute target', head('GET http://localhost/v1/models?a=b HTTP/1.1', 'host: other')],
  ['empty lines before the request', `\r\n\r\n${head(MODELS, 'host: localhost')}`],
  ['HTTP/1.0 without Host', 'GET /v1/models HTTP/1.0\r\n\r\n'],
  ['an unknown expectation', head(CHAT, 'host: localhost', 'expect: 200-ok', LENGTH) + BODY],
  ['an unsupported upgrade', head(CHAT, 'host: localhost', 'upgrade: h2c', LENGTH) + BODY],
  [
    'chunks with extensions and trailers',
    `${head(CHAT, 'host: localhost', 'transfer-encoding: chunked')}${BODY.length.toString(16)};a=b\r\n${BODY}\r\n0;c\r\nx: y\r\n\r\n`,
  ],
  ['an empty value', head(MODELS, 'host: localhost', 'x-any:')],
  ['many headers', head(MODELS, 'host: localhost', ...Array.from({ length: 900 }, (_, i) => `a${i}: b`))],
])('B4: %s: served', async (_what, bytes) => {
  const { status, text } = await ask(stack.url, bytes);
  expect([status, text]).toEqual([200, expect.any(String)]);
});

test('B4: OPTIONS * is answered without information', async () => {
  const { status, text } = await ask(locked.url, head('OPTIONS * HTTP/1.1', 'host: localhost'));
  expect([status, headerOf(text, 'allow')]).toEqual([204, 'GET, HEAD, POST, OPTIONS']);
});

const FOREIGN: readonly (readonly string[])[] = [
  ['host: evil.example'],
  ['host: localhost.evil.example:8080'],
  ['host: localhost', 'origin: https://evil.example'],
  ['host: localhost', 'origin: null'],
  ['host: localhost', 'origin: http://localhost:3000', 'sec-fetch-site: same-site'],
  ['host: localhost', 'sec-fetch-site: cross-site'],
  ['host: localhost', 'origin: https://evil.example', 'connection: upgrade', 'upgrade: websocket'],
];

test.each(FOREIGN)('N10: without keys a request of another site is refused: %s %s %s', async (...headers) => {
  const given = headers.filter((line) => typeof line === 'string');
  const jobs = await stack.metric('penstock_jobs_added_total');
  const [gateway, launcher] = [stack.gateways[0] ?? locked, stack.launchers[0] ?? locked];
  const requests = [
    [gateway.url, head(MODELS, ...given)],
    [gateway.url, head('GET / HTTP/1.1', ...given)],
    [gateway.url, head('GET /docs HTTP/1.1', ...given)],
    [gateway.url, head(CHAT, ...given, 'content-type: text/plain', LENGTH) + BODY],
    [gateway.url, head(CHAT, ...given, LENGTH) + BODY],
    [gateway.internalUrl, head('GET /status HTTP/1.1', ...given)],
    [gateway.internalUrl, head('GET /metrics HTTP/1.1', ...given)],
    [launcher.internalUrl, head('GET /status HTTP/1.1', ...given)],
    [launcher.internalUrl, head('GET /metrics HTTP/1.1', ...given)],
  ] as const;
  for (const [url, bytes] of requests) {
    const { status, text } = await ask(url, bytes);
    expect([bytes, status]).toEqual([bytes, 403]);
    expect(bodyOf(text)).toMatchObject({ error: { code: 'forbidden', message: expect.any(String) } });
    expect(headerOf(text, 'access-control-allow-origin')).not.toBe('*');
  }
  expect(await stack.metric('penstock_jobs_added_total')).toBe(jobs);
});

test('N10: loopback, listed names and listed pages are served; the gateway’s own page works', async () => {
  const { url, internalUrl } = stack.gateways[0] ?? locked;
  const port = new URL(url).port;
  for (const headers of [
    [`host: localhost:${port}`],
    [`host: 127.0.0.1:${port}`],
    ['host: gate.lan'],
    ['host: localhost', `origin: ${PAGE}`, 'sec-fetch-site: cross-site'],
    [`host: localhost:${port}`, `origin: http://localhost:${port}`, 'sec-fetch-site: same-origin'],
    ['host: localhost', 'sec-fetch-site: none', 'sec-fetch-mode: navigate'],
  ]) {
    for (const path of ['/v1/models', '/docs', '/openapi.json'])
      expect([path, headers, (await ask(url, head(`GET ${path} HTTP/1.1`, ...headers))).status]).toEqual([
        path,
        headers,
        200,
      ]);
    expect((await ask(internalUrl, head('GET /readyz HTTP/1.1', ...headers))).status).toBe(200);
  }
  const launcher = stack.launchers[0]?.internalUrl ?? '';
  expect((await ask(launcher, head('GET /livez HTTP/1.1', 'host: worker.lan:8082'))).status).toBe(200);
});

test('N10: with keys any host name is accepted, as in a pod', async () => {
  const key = 'authorization: Bearer secret';
  for (const headers of FOREIGN) {
    expect((await ask(locked.url, head(MODELS, ...headers, key))).status).toBe(200);
    expect((await ask(locked.internalUrl, head('GET /readyz HTTP/1.1', ...headers))).status).toBe(200);
  }
});

test('N17: no answer allows content sniffing; /docs cannot be framed', async () => {
  for (const gateway of [stack.gateways[0] ?? locked, locked])
    for (const url of [
      `${gateway.url}/v1/models`,
      `${gateway.url}/`,
      `${gateway.url}/no`,
      `${gateway.internalUrl}/status`,
    ])
      expect([url, (await fetch(url)).headers.get('x-content-type-options')]).toEqual([url, 'nosniff']);
  expect((await fetch(`${stack.launchers[0]?.internalUrl ?? ''}/status`)).headers.get('x-content-type-options')).toBe(
    'nosniff',
  );
  const { headers } = await fetch(`${stack.url}/docs`);
  expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
  expect(headers.get('x-frame-options')).toBe('DENY');
});

test('N17: endless slashes in a path cost no time', async () => {
  const slashes = '/'.repeat(15_000);
  const key = 'authorization: Bearer secret';
  const ask100 = async (path: string): Promise<number> => {
    const startedAt = performance.now();
    for (let i = 0; i < 20; i += 1) await ask(locked.url, head(`GET ${path} HTTP/1.1`, 'host: localhost', key));
    return performance.now() - startedAt;
  };
  const plain = await ask100('/v1/models');
  for (const path of [`${slashes}x`, `/x${slashes}`, `/v1/models/a${slashes}b`, `http://localhost${slashes}x`])
    expect([path.slice(0, 20), (await ask100(path)) < plain * 5 + 1_000]).toEqual([path.slice(0, 20), true]);
});
