import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { png } from '../support/pictures.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const PICTURE = png(64, 48);
const DATA_URI = `data:image/png;base64,${PICTURE.toString('base64')}`;
/** an engine's field that the SDK's types lack */
const IGNORE_EOS: object = { ignore_eos: true };
const Output = z.strictObject({ output: z.string() });

let stack: Stack;
let pictures: Server;
let pictureUrl: string;
let openai: OpenAI;

beforeAll(async () => {
  pictures = createServer((_req, res) => {
    res.setHeader('content-type', 'image/png');
    res.end(PICTURE);
  }).listen(0, '127.0.0.1');
  await once(pictures, 'listening');
  const address = pictures.address();
  pictureUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/australia.png`;
  stack = await startStack({
    gatewayEnv: { GATEWAY_IMAGE_ALLOW: '127.0.0.1' },
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '40' },
  });
  openai = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'unused', maxRetries: 0 });
}, 60_000);
afterAll(async () => {
  pictures.close();
  await stack[Symbol.asyncDispose]();
});

async function post(path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(stack.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
}
async function sampleRequest(url: string): Promise<unknown> {
  const sample = await readFile('test/fixtures/card/sample-request.json', 'utf8');
  return JSON.parse(sample.replace('https://www.ilankelman.org/stopsigns/australia.jpg', url));
}

test.each([
  ['by URL', () => pictureUrl],
  ['as a data URI', () => DATA_URI],
])("the card's own sample request, its picture %s: 200 and one JSON object with the output", async (_how, url) => {
  const response = await post('/score', await sampleRequest(url()));
  expect(response.status).toBe(200);
  const { output } = Output.parse(await response.json());
  expect(output).toContain('64');
  expect(output).toContain('48');
});

test('OpenAI SDK, streamed: tokens arrive as they are generated, usage and end are correct', async () => {
  const startedAt = performance.now();
  const stream = await openai.chat.completions.create({
    model: MODEL,
    messages: [{ role: 'user', content: 'Tell me of rivers.' }],
    max_tokens: 64,
    stream: true,
    stream_options: { include_usage: true },
    ...IGNORE_EOS,
  });
  const arrivals: number[] = [];
  let usage: OpenAI.CompletionUsage | null | undefined;
  let finish: string | null | undefined;
  for await (const chunk of stream) {
    if ((chunk.choices[0]?.delta.content ?? '') !== '') arrivals.push(performance.now());
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  const total = performance.now() - startedAt;
  const gaps = arrivals.slice(1).map((at, i) => at - (arrivals[i] ?? 0));
  expect(((arrivals[0] ?? Infinity) - startedAt) / total).toBeLessThan(0.3);
  expect(gaps.filter((gap) => gap > 10).length).toBeGreaterThanOrEqual(50);
  expect(usage).toMatchObject({ completion_tokens: 64 });
  expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + 64);
  expect(finish).toBe('length');
});

test('OpenAI SDK, not streamed, with a picture', async () => {
  const answer = await openai.chat.completions.create({
    model: MODEL,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: DATA_URI } },
          { type: 'text', text: 'What is this?' },
        ],
      },
    ],
    max_tokens: 32,
  });
  expect(answer.model).toBe(MODEL);
  expect(answer.choices[0]?.message.content).toContain('64');
  expect(answer.usage?.prompt_tokens).toBeGreaterThan(1_900);
});

test('a streamed answer ends with [DONE], and has usage only on request', async () => {
  const body = { model: MODEL, messages: [{ role: 'user', content: 'hi' }], stream: true, max_tokens: 5 };
  const text = await (await post('/v1/chat/completions', body)).text();
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  expect(text).not.toContain('"usage"');
});

test('the models are listed and found by name and by alias', async () => {
  expect((await openai.models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
  expect((await openai.models.retrieve('azureai')).id).toBe(MODEL);
  await expect(openai.models.retrieve('gpt-4o')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
});

test('request ids: the given one is returned, else a new one is generated', async () => {
  const headers = { 'content-type': 'application/json', 'x-request-id': 'mine-1', 'x-ms-client-request-id': 'c-1' };
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 1 });
  const given = await fetch(`${stack.url}/v1/chat/completions`, { method: 'POST', headers, body });
  expect(given.headers.get('x-request-id')).toBe('mine-1');
  expect(given.headers.get('x-ms-client-request-id')).toBe('c-1');
  const made = await fetch(`${stack.url}/v1/models`);
  expect(made.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/);
});

const turn = (role: string, content: unknown): object => ({ role, content });
const image = { type: 'image_url', image_url: { url: DATA_URI } };
const text = { type: 'text', text: 'What is this?' };
const GRID: readonly (readonly [what: string, messages: object[], allowed: boolean])[] = [
  ['one image, single-turn', [turn('user', [image, text])], true],
  ['one image, multi-turn', [turn('user', [image, text]), turn('assistant', 'A picture.'), turn('user', 'Why?')], true],
  ['several images, single-turn', [turn('user', [image, image, text])], false],
  [
    'several images, multi-turn',
    [turn('user', [image, text]), turn('assistant', 'One.'), turn('user', [image, text])],
    false,
  ],
];
test.each(GRID)("the card's grid: %s", async (_what, messages, allowed) => {
  const before = [
    await stack.engineMetric('vllm:request_success_total'),
    await stack.metric('penstock_jobs_added_total'),
  ];
  const openaiForm = await post('/v1/chat/completions', { model: MODEL, messages, max_tokens: 4 });
  const scoreForm = await post('/score', { input_data: { input_string: messages, parameters: { max_new_tokens: 4 } } });
  expect([openaiForm.status, scoreForm.status]).toEqual(allowed ? [200, 200] : [400, 424]);
  const bodies = [await openaiForm.text(), await scoreForm.text()];
  const after = [
    await stack.engineMetric('vllm:request_success_total'),
    await stack.metric('penstock_jobs_added_total'),
  ];
  const moved = after.map((value, i) => value - (before[i] ?? 0));
  expect(moved).toEqual(allowed ? [2, 2] : [0, 0]);
  if (allowed) return;
  expect(scoreForm.headers.get('ms-azureml-model-error-statuscode')).toBe('400');
  for (const body of bodies)
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'too_many_images', asked: 2, allowed: 1, card: MODEL } });
});

const M = [turn('user', 'hi')];
const REFUSED: readonly (readonly [what: string, path: string, body: unknown, status: number, code: string])[] = [
  ['a list of conversations', '/score', { input_data: { input_string: [M, M] } }, 424, 'batch_not_supported'],
  ['n above 1', '/v1/chat/completions', { messages: M, n: 2 }, 400, 'batch_not_supported'],
  ['/v1/batches', '/v1/batches', {}, 400, 'batch_not_supported'],
  ['/v1/files', '/v1/files', {}, 400, 'batch_not_supported'],
  ['max_tokens above the card', '/v1/chat/completions', { messages: M, max_tokens: 4_097 }, 400, 'max_tokens_exceeded'],
  [
    'max_new_tokens above the card',
    '/score',
    { input_data: { input_string: M, parameters: { max_new_tokens: 5_000 } } },
    424,
    'max_tokens_exceeded',
  ],
  [
    'a prompt that cannot fit',
    '/v1/chat/completions',
    { messages: [turn('user', 'word '.repeat(500_000))] },
    400,
    'context_length_exceeded',
  ],
  ['an unknown model', '/v1/chat/completions', { model: 'gpt-4o', messages: M }, 404, 'model_not_found'],
];
test.each(REFUSED)('refused before the queue: %s', async (_what, path, body, status, code) => {
  const counters = (): Promise<number[]> =>
    Promise.all([stack.metric('penstock_jobs_added_total'), stack.engineMetric('vllm:request_success_total')]);
  const before = await counters();
  const response = await post(path, body);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { code, message: expect.stringMatching(/\S/) } });
  expect(await counters()).toEqual(before);
});

test('a client that leaves: the engine stops immediately, and no trace of the request is left', async () => {
  const leave = new AbortController();
  const stream = await openai.chat.completions.create(
    {
      model: MODEL,
      messages: [{ role: 'user', content: 'go on' }],
      max_tokens: 4_000,
      stream: true,
      ...IGNORE_EOS,
    },
    { signal: leave.signal },
  );
  for await (const chunk of stream) {
    if ((chunk.choices[0]?.delta.content ?? '') !== '') break;
  }
  leave.abort();
  await eventually(
    'the engine is idle',
    async () => (await stack.engineMetric('vllm:num_requests_running')) === 0,
    2_000,
  );
  await eventually(
    'no request is in flight',
    async () => (await stack.metric('penstock_requests_in_flight')) === 0,
    2_000,
  );
  expect(await stack.redis.client.keys('*:body:*')).toEqual([]);
  expect(await stack.redis.client.keys('*reserv*')).toEqual([]);
});
