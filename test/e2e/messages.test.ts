import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { setFaults } from '../support/engine-request.mjs';
import { noisePng, png } from '../support/pictures.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const HI = { model: MODEL, max_tokens: 12, temperature: 0, messages: [{ role: 'user', content: 'Say hello.' }] };

const Message = z.object({
  id: z.string().regex(/^msg_/),
  type: z.literal('message'),
  role: z.literal('assistant'),
  model: z.literal(MODEL),
  content: z.array(z.object({ type: z.literal('text'), text: z.string() })),
  stop_reason: z.string().nullable(),
  stop_sequence: z.string().nullable(),
  usage: z.object({ input_tokens: z.int(), output_tokens: z.int() }),
});
const Event = z.looseObject({
  type: z.string(),
  message: Message.optional(),
  delta: z.looseObject({ text: z.string().optional() }).optional(),
});
const Failed = z.strictObject({
  type: z.literal('error'),
  error: z.looseObject({ type: z.string(), message: z.string(), code: z.string() }),
  request_id: z.string(),
});

let stack: Stack;
let pictures: Server;
beforeAll(async () => {
  pictures = createServer((_req, res) => void res.end(png(40, 30))).listen(0, '127.0.0.1');
  stack = await startStack({
    gatewayEnv: { GATEWAY_IMAGE_ALLOW: '127.0.0.1' },
    workerEnv: { PENSTOCK_SIM_ITL_MS: '5' },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  pictures.close();
});

const post = (body: object, path = '/v1/messages') => postJson(stack.url + path, body);
async function ask(body: object): Promise<z.infer<typeof Message>> {
  const { status, text } = await post({ ...HI, ...body });
  expect([status, text.slice(0, 200)]).toEqual([200, expect.anything()]);
  return Message.parse(JSON.parse(text));
}
async function stream(body: object): Promise<z.infer<typeof Event>[]> {
  const { text } = await post({ ...HI, ...body, stream: true });
  const blocks = text.split('\n\n');
  expect(blocks.pop()).toBe('');
  return blocks.map((block) => {
    const [, name, data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
    const event = Event.parse(JSON.parse(data));
    expect(event.type).toBe(name);
    return event;
  });
}
const textOf = (events: readonly z.infer<typeof Event>[]): string =>
  events.map(({ delta }) => delta?.text ?? '').join('');

test('a conversation is answered by a message of the allowed length, with usage', async () => {
  const message = await ask({});
  expect(message).toMatchObject({ stop_reason: 'max_tokens', stop_sequence: null, usage: { output_tokens: 12 } });
  expect(message.content.map(({ text }) => text).join('')).toContain('Say hello.');
  const { headers } = await post(HI);
  expect(headers.get('request-id')).toBe(headers.get('x-request-id'));
});

test('streamed: the same text in this API’s events, with usage at start and end', async () => {
  const whole = await ask({});
  const events = await stream({});
  const types = events.map(({ type }) => type).filter((type) => type !== 'content_block_delta');
  expect(types).toEqual([
    'message_start',
    'content_block_start',
    'content_block_stop',
    'message_delta',
    'message_stop',
  ]);
  expect(textOf(events)).toBe(whole.content[0]?.text);
  expect(events[0]?.message).toMatchObject({
    content: [],
    stop_reason: null,
    usage: { input_tokens: whole.usage.input_tokens },
  });
  expect(events.at(-2)).toMatchObject({
    delta: { stop_reason: 'max_tokens', stop_sequence: null },
    usage: whole.usage,
  });
});

test('a stop sequence ends the answer, and is named in it', async () => {
  const stop_sequences = ['nowhere', 'hello'];
  expect(await ask({ stop_sequences })).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: 'hello' });
  const events = await stream({ stop_sequences });
  expect(events.at(-2)).toMatchObject({ delta: { stop_reason: 'stop_sequence', stop_sequence: 'hello' } });
});

test('system precedes the conversation, as text and as blocks; messages are counted; a begun answer is continued', async () => {
  const bare = await ask({});
  const system = 'Be brief.';
  const [one, blocks] = [await ask({ system }), await ask({ system: [{ type: 'text', text: system }] })];
  expect(one.usage.input_tokens).toBeGreaterThan(bare.usage.input_tokens);
  expect(blocks.usage).toEqual(one.usage);
  const turns = [...HI.messages, { role: 'assistant', content: bare.content }, { role: 'user', content: 'And again?' }];
  const second = await ask({ messages: turns });
  expect(second.content[0]?.text).toContain('And again?');
  expect(second.usage.input_tokens).toBeGreaterThan(bare.usage.input_tokens);
  const begun = await ask({ messages: [...HI.messages, { role: 'assistant', content: 'Well,' }] });
  expect(begun.usage.input_tokens).toBeLessThan(second.usage.input_tokens);
});

test('count_tokens returns the length of a conversation’s prompt, although /tokenize is not served', async () => {
  const { usage } = await ask({ system: 'Be brief.' });
  const { model, messages } = HI;
  const counted = await post({ model, messages, system: 'Be brief.' }, '/v1/messages/count_tokens');
  expect([counted.status, JSON.parse(counted.text)]).toEqual([200, { input_tokens: usage.input_tokens }]);
  expect((await post({ model, messages }, '/tokenize')).status).toBe(404);
});

test('the model sees a picture, small and large, as base64 and by URL', async () => {
  const url = `http://127.0.0.1:${(pictures.address() as AddressInfo).port}/a.png`;
  const base64 = (picture: Buffer) => ({
    type: 'base64',
    media_type: 'image/png',
    data: picture.toString('base64'),
  });
  const large = noisePng(90, 70);
  expect(large.toString('base64').length).toBeGreaterThan(4_096);
  for (const [source, size] of [
    [base64(png(64, 48)), '64 x 48'],
    [base64(large), '90 x 70'],
    [{ type: 'url', url }, '40 x 30'],
  ] as const) {
    const content = [
      { type: 'image', source },
      { type: 'text', text: 'What is it?' },
    ];
    const message = await ask({ max_tokens: 30, messages: [{ role: 'user', content }] });
    expect(message.content[0]?.text).toContain(size);
  }
});

test('refusals have this API’s form, name the place in the caller’s body, and create no job', async () => {
  const jobs = await stack.metric('penstock_jobs_added_total');
  const picture = {
    type: 'image',
    source: { type: 'base64', media_type: 'image/png', data: png(8, 8).toString('base64') },
  };
  const tool = { name: 'f', input_schema: { type: 'object' } };
  const turn = { role: 'user', content: [picture] };
  const broken = { ...picture, source: { ...picture.source, data: 'AAAA' } };
  for (const [body, code, param] of [
    [{ max_tokens: undefined }, 'invalid_request', 'max_tokens'],
    [{ max_tokens: 5_000 }, 'max_tokens_exceeded', 'max_tokens'],
    [{ temperature: 1.5 }, 'invalid_request', 'temperature'],
    [{ system: 'a', messages: [turn, turn] }, 'too_many_images', 'messages[1].content[0]'],
    [
      { system: 'a', messages: [{ role: 'user', content: [broken] }] },
      'invalid_image',
      'messages[0].content[0].source',
    ],
    [{ messages: [{ role: 'tool', content: 'a' }] }, 'invalid_request', 'messages[0].role'],
    [{ tools: [tool] }, 'unsupported_parameter', 'tools'],
    [{ thinking: { type: 'enabled', budget_tokens: 1_024 } }, 'unsupported_parameter', 'thinking'],
  ] as const) {
    const { status, text, headers } = await post({ ...HI, ...body });
    const failed = Failed.parse(JSON.parse(text));
    expect([status, failed.error.code, failed.error['param']]).toEqual([400, code, param]);
    expect(failed.error.type).toBe('invalid_request_error');
    expect(failed.request_id).toBe(headers.get('request-id'));
    expect(headers.get('x-should-retry')).toBe('false');
  }
  expect(await stack.metric('penstock_jobs_added_total')).toBe(jobs);
  const unknown = await post({ ...HI, model: 'nobody' });
  expect([unknown.status, Failed.parse(JSON.parse(unknown.text)).error.type]).toEqual([404, 'not_found_error']);
  const batches = await post({}, '/v1/messages/batches');
  expect([batches.status, Failed.parse(JSON.parse(batches.text)).error.type]).toEqual([404, 'not_found_error']);
});

test('fields without effect are accepted and listed; thinking may be off; another API version is refused', async () => {
  const named = await post({ ...HI, metadata: { user_id: 'a' }, thinking: { type: 'disabled' }, wish: 1 });
  expect([named.status, named.headers.get('x-penstock-ignored')]).toEqual([200, 'metadata, wish']);
  const versions = ['2023-06-01', '2026-10-21', '2099-01-01'].map(async (version) => {
    const headers = { 'content-type': 'application/json', 'anthropic-version': version };
    return (await fetch(`${stack.url}/v1/messages`, { method: 'POST', headers, body: JSON.stringify(HI) })).status;
  });
  expect(await Promise.all(versions)).toEqual([200, 200, 400]);
});

test('an engine lost in the middle: the stream continues on another one, as one message', async () => {
  const long = { max_tokens: 40 };
  const whole = await ask(long);
  await setFaults((await stack.status()).workers[0]?.engines[0] ?? {}, { 'cut-after': 8, times: 1 });
  const events = await stream(long);
  expect(await stack.metric('penstock_continuations_total')).toBe(1);
  expect(textOf(events)).toBe(whole.content[0]?.text);
  expect(events.filter(({ type }) => type === 'message_start')).toHaveLength(1);
  expect(events.at(-2)).toMatchObject({ usage: whole.usage });
});
