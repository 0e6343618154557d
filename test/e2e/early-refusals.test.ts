import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { hashOfKey } from '../../gateway/keys/key-ring.ts';
import { bodyOf, headerOf, rawConnection } from '../support/raw-connection.ts';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

const LIMIT = 1_000_000;
const KEY = 'authorization: Bearer secret';
const folder = mkdtempSync(join(tmpdir(), 'penstock-early-'));
let stack: Stack;
beforeAll(async () => {
  const keysFile = join(folder, 'keys.yaml');
  writeFileSync(keysFile, `keys:\n  - id: one\n    primary: ${hashOfKey('secret').toString('hex')}\n`);
  const gatewayEnv = { GATEWAY_KEYS_FILE: keysFile, GATEWAY_BODY_LIMIT_BYTES: String(LIMIT) };
  stack = await startStack({ gatewayEnv });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const head = (...lines: readonly string[]): string => [...lines, 'host: localhost', '', ''].join('\r\n');
const CHAT = 'POST /v1/chat/completions HTTP/1.1';
const JSON_TYPE = 'content-type: application/json';

/** Refusals that need no byte of the body. */
const REFUSED: readonly (readonly [status: number, lines: readonly string[]])[] = [
  [401, [CHAT, JSON_TYPE]],
  [401, [CHAT, JSON_TYPE, 'authorization: Bearer wrong']],
  [404, ['POST /v1/nothing HTTP/1.1', KEY]],
  [404, ['POST /openai/deployments/nope/chat/completions HTTP/1.1', KEY]],
  [405, ['PUT /v1/chat/completions HTTP/1.1', KEY]],
  [413, [CHAT, JSON_TYPE, KEY]],
  [431, [CHAT, JSON_TYPE, KEY, `x-request-id: ${'x'.repeat(101)}`]],
];

test.each(REFUSED)('B3: %d before the body: no 100 Continue, the connection closes: %j', async (status, lines) => {
  const length = `content-length: ${LIMIT + 1}`;
  const connection = await rawConnection(stack.url, head(...lines, length, 'expect: 100-continue'));
  await connection.closed;
  const text = connection.text();
  expect([connection.status(), text.includes('100 Continue')]).toEqual([status, false]);
  expect(headerOf(text, 'connection')).toBe('close');
  expect(bodyOf(text)).toMatchObject({ error: { code: expect.any(String) } });
});

test.each(REFUSED)(
  'B3: %d while the body is being sent: its client can read the refusal: %j',
  async (status, lines) => {
    const connection = await rawConnection(stack.url, head(...lines, `content-length: ${12 * LIMIT}`));
    const piece = Buffer.alloc(100_000, 0x20);
    // A client that sends its entire body before it reads.
    connection.socket.pause();
    for (let sent = 0; sent < 12 * LIMIT && connection.socket.writable; sent += piece.length)
      if (!connection.socket.write(piece)) await Promise.race([once(connection.socket, 'drain'), connection.closed]);
    connection.socket.resume();
    await connection.closed;
    expect([connection.status(), connection.wasReset()]).toEqual([status, false]);
    expect(headerOf(connection.text(), 'connection')).toBe('close');
  },
);

test('B3: an unannounced body over the limit is refused at the limit, not at its end', async () => {
  const connection = await rawConnection(stack.url, head(CHAT, JSON_TYPE, KEY, 'transfer-encoding: chunked'));
  const piece = `186a0\r\n${' '.repeat(100_000)}\r\n`;
  let sent = 0;
  while (connection.status() === 0 && sent < 30 * LIMIT) {
    sent += 100_000;
    // A closed connection drains no more.
    if (!connection.socket.write(piece)) await Promise.race([once(connection.socket, 'drain'), connection.closed]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await connection.closed;
  expect([connection.status(), headerOf(connection.text(), 'connection')]).toEqual([413, 'close']);
  expect(sent).toBeLessThan(20 * LIMIT);
});

test('B3: a client that keeps sending after a refusal is cut off', async () => {
  const connection = await rawConnection(stack.url, head(CHAT, JSON_TYPE, 'transfer-encoding: chunked'));
  const startedAt = performance.now();
  connection.socket.removeAllListeners('end');
  const closed = new Promise((resolve) => connection.socket.once('close', resolve));
  const drip = setInterval(() => connection.socket.write('1\r\n \r\n'), 50);
  await closed;
  clearInterval(drip);
  expect(connection.status()).toBe(401);
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});

test('B3: an expected body is requested with 100 Continue, and its connection stays', async () => {
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 1 });
  const before = await stack.metric('penstock_jobs_added_total');
  const asking = head(CHAT, JSON_TYPE, KEY, `content-length: ${body.length}`, 'expect: 100-continue');
  const connection = await rawConnection(stack.url, asking);
  await once(connection.socket, 'data');
  expect(connection.text()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  connection.socket.write(body + head(CHAT, JSON_TYPE, KEY, `content-length: ${body.length}`) + body);
  while ((connection.text().match(/HTTP\/1\.1 200 OK/g) ?? []).length < 2) await once(connection.socket, 'data');
  connection.socket.destroy();
  expect(headerOf(connection.text(), 'connection')).toBe('keep-alive');
  // An engine may answer before the queue.
  await eventually('both are counted', async () => (await stack.metric('penstock_jobs_added_total')) === before + 2);
});

test('B3: bytes after a refused body on its connection are not read as a request', async () => {
  const jobs = await stack.metric('penstock_jobs_added_total');
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 1 });
  const next = head(CHAT, JSON_TYPE, KEY, `content-length: ${body.length}`) + body;
  const connection = await rawConnection(stack.url, `${head(CHAT, 'content-length: 4')}{}  ${next}`);
  await connection.closed;
  expect(connection.text().match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 401']);
  expect(await stack.metric('penstock_jobs_added_total')).toBe(jobs);
});
