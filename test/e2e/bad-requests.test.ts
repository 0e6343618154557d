import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { request } from 'undici';
import { z } from 'zod';
import { startPictureServer } from '../bad-requests/picture-server.ts';
import { ABSENT, BAD_REQUESTS, LIMITS, type BadRequest } from '../bad-requests/table.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

/** The common part of both dialects' error bodies. */
const ErrorBody = z.object({
  error: z.looseObject({ code: z.string(), message: z.string().min(1), param: z.string().nullable() }),
});
const LARGEST_ANSWER_BYTES = 2_000;
/** Paths on which azure-core reads the code from a header. */
const WITH_CODE_HEADER = ['/score', '/chat/completions', '/models/completions', '/models/nope', '/embeddings'];

let stack: Stack;
let pictures: Awaited<ReturnType<typeof startPictureServer>>;
const seen: string[] = [];
/** an engine makes one token to warm up */
let answeredBefore: number;

beforeAll(async () => {
  pictures = await startPictureServer();
  stack = await startStack({
    gatewayEnv: { ...LIMITS, GATEWAY_UNKNOWN_DEPLOYMENT: 'refuse' },
    workerEnv: NO_IDLE_TESTS,
  });
  answeredBefore = await stack.engineMetric('vllm:request_success_total');
}, 60_000);
afterAll(async () => {
  const file = process.env['PENSTOCK_BAD_REQUESTS_FILE'];
  if (file !== undefined) writeFileSync(file, seen.join('\n'));
  await pictures[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
});

async function send({ method, path, headers, body }: BadRequest) {
  const bytes = body(pictures.url);
  const answer = await request(stack.url + path, {
    method: method === 'GET' ? 'GET' : method === 'PUT' ? 'PUT' : 'POST',
    headers,
    ...(bytes === undefined ? {} : { body: bytes }),
  });
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
}

/** The answer to one bad request, with the expected one. */
async function judge(bad: BadRequest) {
  const { status, headers, text } = await send(bad);
  const { error } = ErrorBody.parse(JSON.parse(text));
  const behind = headers['ms-azureml-model-error-statuscode'];
  const answer = `${status}${behind === undefined ? '' : `/${String(behind)}`} ${error.code}`;
  const expected = `${bad.status}${bad.status === 424 ? `/${bad.inner}` : ''} ${bad.code}`;
  const route = `${bad.method} ${bad.path}`;
  expect(Buffer.byteLength(text)).toBeLessThan(LARGEST_ANSWER_BYTES);
  expect(headers['content-type']).toMatch(/^application\/json/);
  expect(headers['x-request-id']).toBeDefined();
  if (bad.param !== undefined && bad.param !== 'model') expect(error.message).toContain(bad.param.split('.').at(-1));
  if (WITH_CODE_HEADER.includes(bad.path)) expect(headers['x-ms-error-code']).toBe(bad.code);
  const param = error.param ?? undefined;
  return { route, expected, answer, right: [route, expected, bad.param], seen: [route, answer, param] };
}

test.each([...new Set(BAD_REQUESTS.map(({ fault }) => fault))])(
  '%s: refused in one sentence that names the field, on every route, nothing queued',
  async (fault) => {
    const jobs = await stack.metric('penstock_jobs_added_total');
    const rows = await Promise.all(BAD_REQUESTS.filter((bad) => bad.fault === fault).map(judge));
    const moved = (await stack.metric('penstock_jobs_added_total')) - jobs;
    for (const {
      route,
      expected,
      answer,
      seen: [, , param],
    } of rows)
      seen.push([fault, route, expected, answer, param ?? '', String(moved)].join('\t'));
    expect(rows.map((row) => row.seen)).toEqual(rows.map((row) => row.right));
    expect(moved).toBe(0);
  },
);

test('a body over the limit without a length is refused while it arrives', async () => {
  const endless = Readable.from(
    (function* () {
      for (let i = 0; i < 100; i += 1) yield Buffer.alloc(100_000, 0x20);
    })(),
  );
  const headers = { 'content-type': 'application/json' };
  const answer = await request(`${stack.url}/v1/completions`, { method: 'POST', headers, body: endless });
  expect(answer.statusCode).toBe(413);
  expect(await answer.body.json()).toMatchObject({ error: { code: 'body_too_large', allowed: 4_000_000 } });
});

test.each([
  ['headers that are too large', `GET / HTTP/1.1\r\nhost: a\r\ncookie: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ['bytes that are not HTTP', 'hello\r\n\r\n', 400],
])('%s: the answer is JSON too', async (_what, bytes, status) => {
  const socket = connect(Number(new URL(stack.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write(bytes);
  await once(socket, 'close');
  const [head = '', body = ''] = text.split('\r\n\r\n');
  expect(head).toContain(`HTTP/1.1 ${status} `);
  expect(ErrorBody.safeParse(JSON.parse(body)).success).toBe(true);
});

test('a missing part of the API is refused by name, with the route that replaces it', async () => {
  for (const path of ABSENT) {
    const { error } = ErrorBody.parse(await (await fetch(stack.url + path)).json());
    expect(error.message).toMatch(/^\/(openai|v1)\/.* is not served: /);
    expect(error.message).toContain(path);
    expect(error.message).toMatch(/\/v1\/chat\/completions|\/score/);
  }
});

test('after all bad requests the engine has received nothing, and a good request is served', async () => {
  expect(await stack.metric('penstock_jobs_added_total')).toBe(0);
  expect(await stack.engineMetric('vllm:request_success_total')).toBe(answeredBefore);
  expect(await stack.redis.client.keys('*:body:*')).toEqual([]);
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ input_data: { input_string: [{ role: 'user', content: 'hi' }] } });
  expect((await fetch(`${stack.url}/score`, { method: 'POST', headers, body })).status).toBe(200);
  expect(await stack.metric('penstock_requests_in_flight')).toBe(0);
});
