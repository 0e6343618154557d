import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { dataUri, noisePng } from '../support/pictures.ts';
import { postHead, rawHttp, type RawHttp } from '../support/raw-http.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const PATH = '/v1/chat/completions';
/** Short for the tests of late bodies, and long enough for this process to send its 4 GB on a busy machine. */
const BODY_TIMEOUT_MS = 10_000;
/** memory limit of the chart's gateway */
const POD_BYTES = 1024 * 1024 * 1024;
const ROUTES = [PATH, '/v1/completions', '/v1/responses', '/score', '/chat/completions', '/openai/v1/chat/completions'];
const Refusal = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

const folder = temporaryFolder();
const keys = new Map<string, string>();
let stack: Stack;
beforeAll(async () => {
  const file = join(folder.path, 'keys.yaml');
  for (const id of ['hostile', 'honest'])
    keys.set(id, (await penstock(['keys', 'create', '--file', file, '--id', id])).stdout.trim());
  const gatewayEnv = {
    GATEWAY_KEYS_FILE: file,
    GATEWAY_BODY_TIMEOUT_MS: String(BODY_TIMEOUT_MS),
    GATEWAY_HEAD_TIMEOUT_MS: '8000',
  };
  stack = await startStack({ gatewayEnv, engines: 2, workerEnv: { PENSTOCK_SIM_ITL_MS: '20' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const keyOf = (id: string): string => `authorization: Bearer ${keys.get(id) ?? ''}`;
const send = (path: string, body: string | Buffer, ...headers: string[]): RawHttp =>
  rawHttp(stack.url, Buffer.concat([Buffer.from(postHead(path, keyOf('hostile'), ...headers)), Buffer.from(body)]));
const ask = (body: object, id = 'honest') =>
  call(stack.url + PATH, body, { authorization: `Bearer ${keys.get(id) ?? ''}` }).ended;
const question = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 4 };
const refusalOf = (answer: RawHttp) => Refusal.parse(JSON.parse(answer.received().split('\r\n\r\n').at(-1) ?? ''));
const bytesUsed = (): number => {
  const { pid } = stack.gateways[0]?.child ?? {};
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024;
};

test.each(ROUTES)('B3: an announced body over the limit is refused at its header: %s', async (path) => {
  const answer = send(path, '', 'content-length: 30000000');
  expect([413, 424]).toContain(await answer.status);
  answer.socket.destroy();
});

test('B3: a body over the limit without a length is refused at the limit', async () => {
  const piece = Buffer.alloc(1_000_000, ' ');
  const answer = send(PATH, '', 'transfer-encoding: chunked');
  let sent = 0;
  // Each piece is sent after the last one was accepted, so the sent bytes are those that the gateway read, plus a few buffers.
  const sendPiece = (): void => {
    if (answer.socket.destroyed || sent >= 60) return;
    sent += 1;
    answer.socket.write(Buffer.concat([Buffer.from('f4240\r\n'), piece, Buffer.from('\r\n')]), sendPiece);
  };
  sendPiece();
  expect(await answer.status).toBe(413);
  expect(sent).toBeLessThan(60);
  answer.socket.destroy();
});

test.each([
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
  ['GZIP', gzipSync],
] as const)('a body in %s is unpacked, up to the limit', async (coding, pack) => {
  const packed = (body: object): RawHttp => {
    const bytes = pack(JSON.stringify(body));
    return send(PATH, bytes, `content-encoding: ${coding}`, `content-length: ${bytes.length}`);
  };
  const served = packed(question);
  const bomb = packed({ ...question, padding: ' '.repeat(21_000_000) });
  expect([await served.status, await bomb.status]).toEqual([200, 413]);
  for (const { socket } of [served, bomb]) socket.destroy();
});

test.each([
  ['PHP escapes it', (json: string) => json.replaceAll('/', '\\/')],
  ['.NET and Gson escape it', (json: string) => json.replaceAll('+', '\\u002B').replaceAll('=', '\\u003d')],
])('a picture is served as %s', async (_name, escape) => {
  const answer = send(PATH, ...withLength(escape(JSON.stringify({ ...question, messages: withPicture() }))));
  expect([await answer.status, answer.received()]).toEqual([200, expect.any(String)]);
  answer.socket.destroy();
});

test('an unsupported or wrong content-encoding is refused by name', async () => {
  const unknown = send(PATH, 'x', 'content-encoding: zstd', 'content-length: 1');
  expect(await unknown.status).toBe(415);
  const told = refusalOf(unknown).error.message;
  for (const word of ['zstd', 'gzip', 'deflate', 'br']) expect(told).toContain(word);
  const wrong = send(PATH, '{"a":1}', 'content-encoding: gzip', 'content-length: 7');
  expect(await wrong.status).toBe(400);
  expect(refusalOf(wrong).error.code).toBe('invalid_json');
});

test.each([
  ['nothing', ''],
  ['half of it', JSON.stringify(question).slice(0, 20)],
])('B1: a body is answered with 408 when %s arrives', async (_name, part) => {
  const startedAt = performance.now();
  const answer = send(PATH, part, 'content-length: 5000');
  expect(await answer.status).toBe(408);
  expect(refusalOf(answer).error.code).toBe('request_timeout');

  await answer.closed;
  expect(performance.now() - startedAt).toBeGreaterThan(BODY_TIMEOUT_MS - 500);
});

test('B1: a body that arrives byte by byte has the same timeout as others', async () => {
  const answer = send(PATH, '{', 'content-length: 5000');
  const drip = setInterval(() => answer.socket.write(' '), 100);
  expect(await answer.status).toBe(408);
  clearInterval(drip);
  answer.socket.destroy();
});

test.each([
  ['1,000 pieces of one byte are an ordinary body', 1_000, 200],
  ['a body of more than 50,000 pieces is refused, however small they are', 50_001, 400],
])('N4: %s', async (_name, pieces, status) => {
  const body = JSON.stringify(question);
  const chunks = `1\r\n \r\n`.repeat(pieces) + `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const answer = send(PATH, chunks, 'transfer-encoding: chunked');
  expect(await answer.status).toBe(status);
  if (status !== 200) expect(refusalOf(answer).error.code).toBe('invalid_request');
  answer.socket.destroy();
});

test('N4: 200 unfinished uploads of 20 MB do not fill a pod, and 20 streams of another key stay complete', async () => {
  const before = await stack.metric('penstock_jobs_added_total');
  const streams = Array.from({ length: 20 }, () => ask({ ...question, stream: true, max_tokens: 400 }));
  await eventually('streams run', async () => (await stack.metric('penstock_jobs_added_total')) === before + 20);
  const most = Buffer.alloc(19_000_000, ' ');
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, bytesUsed());
  }, 20);
  const uploads = Array.from({ length: 200 }, (_, index) => {
    const isAnnounced = index % 2 === 0;
    const upload = send(PATH, '', isAnnounced ? 'content-length: 20000000' : 'transfer-encoding: chunked');
    if (!isAnnounced) upload.socket.write('121eac0\r\n');
    upload.socket.write(most);
    void upload.status.then(() => upload.socket.destroy());
    return upload;
  });
  const meanwhile = await Promise.all([ask(question), ask({ ...question, messages: withPicture() }), ask(question)]);
  const statuses = await Promise.all(uploads.map(({ status }) => status));
  clearInterval(watch);
  for (const { socket } of uploads) socket.destroy();
  expect(meanwhile.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(peak).toBeLessThan(POD_BYTES);
  // Refused because of memory, or given up; a client that still sends may see a closed connection instead.
  expect(statuses.filter((status) => ![0, 503, 408].includes(status))).toEqual([]);
  expect(statuses).toContain(503);
  for (const { status, isWhole, body } of await Promise.all(streams))
    expect([status, isWhole, body.endsWith('data: [DONE]\n\n')]).toEqual([200, true, true]);
  // Their memory is available again.
  await eventually('the hostile key is served', async () => (await ask(question, 'hostile')).status === 200);
}, 90_000);

function withLength(body: string): [string, string] {
  return [body, `content-length: ${body.length}`];
}

function withPicture(): object[] {
  const url = dataUri(noisePng(500, 500));
  return [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }];
}
