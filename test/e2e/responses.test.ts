import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { png } from '../support/pictures.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const HI = { model: MODEL, input: 'Say hello.', max_output_tokens: 12, temperature: 0 } as const;
const IMAGE = `data:image/png;base64,${png(64, 48).toString('base64')}`;
const picture = { type: 'input_image', image_url: IMAGE, detail: 'auto' } as const;

let stack: Stack;
let openai: OpenAI;
let pictures: Server;
beforeAll(async () => {
  pictures = createServer((_req, res) => void res.end(png(40, 30))).listen(0, '127.0.0.1');
  stack = await startStack({
    gatewayEnv: { GATEWAY_IMAGE_ALLOW: '127.0.0.1' },
    workerEnv: { PENSTOCK_SIM_ITL_MS: '5' },
  });
  openai = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'unused', maxRetries: 0 });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  pictures.close();
});

async function engineFault(faults: object | undefined): Promise<void> {
  await setFaults((await stack.status()).workers[0]?.engines[0] ?? {}, faults ?? null);
}

test('OpenAI SDK: a text is answered with the allowed length and usage', async () => {
  const response = await openai.responses.create(HI);
  expect(response).toMatchObject({
    object: 'response',
    model: MODEL,
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    usage: { output_tokens: 12 },
  });
  expect(response.output_text).toContain('Say hello.');
});

test('OpenAI SDK, streamed: the same text, events in order, closed by response.completed', async () => {
  const whole = await openai.responses.create(HI);
  const types: string[] = [];
  let text = '';
  let last: OpenAI.Responses.Response | undefined;
  const numbers: number[] = [];
  for await (const event of await openai.responses.create({ ...HI, stream: true })) {
    types.push(event.type);
    numbers.push(event.sequence_number);
    if (event.type === 'response.output_text.delta') text += event.delta;
    if (event.type === 'response.completed') last = event.response;
  }
  expect(text).toBe(whole.output_text);
  expect(types.slice(0, 4)).toEqual([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
  ]);
  expect(types.at(-1)).toBe('response.completed');
  expect(numbers).toEqual(numbers.map((_, index) => index));
  expect(last?.usage).toMatchObject({ input_tokens: whole.usage?.input_tokens, output_tokens: 12 });
});

test('the SDK’s own stream reader assembles the answer', async () => {
  const final = await openai.responses.stream(HI).finalResponse();
  expect(final.output_text).toBe((await openai.responses.create(HI)).output_text);
});

test('instructions precede a conversation of several turns, also with replayed answers', async () => {
  const first = await openai.responses.create({ ...HI, instructions: 'Be brief.' });
  const bare = await openai.responses.create(HI);
  expect(first.usage?.input_tokens).toBeGreaterThan(bare.usage?.input_tokens ?? 0);
  const input = [
    { role: 'user' as const, content: 'Say hello.' },
    ...first.output.filter((item) => item.type === 'message'),
    { role: 'user' as const, content: 'And again?' },
  ];
  const second = await openai.responses.create({ ...HI, input });
  expect(second.output_text).toContain('And again?');
  expect(second.usage?.input_tokens).toBeGreaterThan(first.usage?.input_tokens ?? 0);
});

test('the model sees a picture, as data and by URL', async () => {
  const url = `http://127.0.0.1:${(pictures.address() as AddressInfo).port}/a.png`;
  for (const [image_url, size] of [
    [IMAGE, '64 x 48'],
    [url, '40 x 30'],
  ] as const) {
    const content = [
      { ...picture, image_url },
      { type: 'input_text' as const, text: 'What is it?' },
    ];
    const response = await openai.responses.create({
      ...HI,
      max_output_tokens: 30,
      input: [{ role: 'user', content }],
    });
    expect(response.output_text).toContain(size);
  }
});

test('a second picture anywhere in the input, or one from a non-public address, creates no job', async () => {
  const jobs = await stack.metric('penstock_jobs_added_total');
  const turn = { role: 'user' as const, content: [picture] };
  await expect(openai.responses.create({ ...HI, input: [turn, turn] })).rejects.toMatchObject({
    status: 400,
    code: 'too_many_images',
    param: 'input[1].content[0]',
    error: { asked: 2, allowed: 1, card: MODEL },
  });
  const inside = [{ ...picture, image_url: 'http://169.254.169.254/metadata' }];
  await expect(openai.responses.create({ ...HI, input: [{ role: 'user', content: inside }] })).rejects.toMatchObject({
    status: 400,
    code: 'image_fetch_failed',
    param: 'input[0].content[0].image_url',
  });
  await expect(openai.responses.create({ ...HI, max_output_tokens: 5_000 })).rejects.toMatchObject({
    code: 'max_tokens_exceeded',
    param: 'max_output_tokens',
  });
  expect(await stack.metric('penstock_jobs_added_total')).toBe(jobs);
});

test('Azure’s client finds the route too; only POST exists, and a response that was not kept is not there', async () => {
  for (const path of ['/openai/v1/responses', '/openai/responses']) {
    expect((await postJson(stack.url + path, HI)).status).toBe(200);
    expect((await fetch(stack.url + path)).status).toBe(405);
  }
  await expect(openai.responses.retrieve('resp_1')).rejects.toMatchObject({ status: 404, code: 'answer_not_found' });
  await expect(openai.responses.cancel('resp_1')).rejects.toMatchObject({ status: 404, code: 'answer_not_found' });
});

test('log and metrics have the tokens of complete and streamed responses', async () => {
  const count = () => stack.metric('gen_ai_client_token_usage_sum');
  const before = await count();
  const { usage } = await openai.responses.create(HI);
  const once = (await count()) - before;
  expect(once).toBe(usage?.total_tokens);
  await openai.responses.stream(HI).finalResponse();
  expect((await count()) - before).toBe(2 * once);
});

test('the engine’s own refusal reaches the client, also in a stream, and no engine becomes suspect', async () => {
  const format = { type: 'json_schema' as const, name: 'x', schema: { type: 'nonsense' } };
  for (const stream of [false, true])
    await expect(openai.responses.create({ ...HI, text: { format }, stream })).rejects.toMatchObject({
      status: 400,
      code: 'engine_refused',
      error: { message: expect.stringContaining('nonsense') },
    });
  expect(stack.launchers[0]?.output()).not.toContain('suspect');
  expect((await openai.responses.create(HI)).status).toBe('incomplete');
});

test('an engine lost before the first word: the stream runs again, and its client does not notice', async () => {
  const whole = await openai.responses.create(HI);
  await engineFault({ 'cut-after': 2, times: 1 });
  const final = await openai.responses.stream(HI).finalResponse();
  expect(final.output_text).toBe(whole.output_text);
});

test('an engine lost after the first word: the SDK throws, and the raw stream ends with the API’s error event', async () => {
  const stream = { ...HI, max_output_tokens: 40, stream: true } as const;
  await engineFault({ 'cut-after': 8, times: 1 });
  let text = '';
  const read = async (): Promise<void> => {
    for await (const event of await openai.responses.create(stream))
      if (event.type === 'response.output_text.delta') text += event.delta;
  };
  await expect(read()).rejects.toMatchObject({ code: 'worker_lost' });
  expect(text).not.toBe('');
  await eventually(
    'the engine is ready again',
    async () => (await postJson(`${stack.url}/v1/responses`, HI)).status === 200,
  );
  await engineFault({ 'cut-after': 8, times: 1 });
  const raw = await postJson(`${stack.url}/v1/responses`, stream);
  const events = raw.text.trimEnd().split('\n\n');
  expect(events).toHaveLength(9);
  const last = /^event: error\ndata: (.*)$/.exec(events.at(-1) ?? '')?.[1] ?? '{}';
  expect(JSON.parse(last)).toMatchObject({ type: 'error', code: 'worker_lost', param: null, sequence_number: 8 });
  await engineFault(undefined);
});
