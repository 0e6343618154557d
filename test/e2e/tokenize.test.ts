import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { png } from '../support/pictures.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const Counted = z.object({ count: z.int(), max_model_len: z.int(), tokens: z.array(z.int()) });
const picture = { type: 'image_url', image_url: { url: `data:image/png;base64,${png(64, 48).toString('base64')}` } };

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ gatewayEnv: { GATEWAY_TOKENIZE: 'true' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});
const count = async (body: object): Promise<number> => {
  const { status, text } = await postJson(`${stack.url}/tokenize`, body);
  expect(status).toBe(200);
  const counted = Counted.parse(JSON.parse(text));
  expect(counted.tokens).toHaveLength(counted.count);
  return counted.count;
};

test('the count of a conversation, also with a picture, equals the tokens charged for its request', async () => {
  const openai = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'unused', maxRetries: 0 });
  for (const content of ['Say hello.', [picture, { type: 'text', text: 'What is it?' }]]) {
    const messages = [{ role: 'user', content }] as OpenAI.ChatCompletionMessageParam[];
    const { usage } = await openai.chat.completions.create({ model: MODEL, messages, max_tokens: 1 });
    expect(await count({ model: MODEL, messages })).toBe(usage?.prompt_tokens);
  }
});

test('a bare text, with and without add_special_tokens', async () => {
  expect(await count({ prompt: 'Say hello.' })).toBeGreaterThan(1);
  expect(await count({ prompt: 'Say hello.', add_special_tokens: false })).toBeGreaterThan(1);
});

test('the card’s rules hold, and mistakes are named', async () => {
  const two = { messages: [{ role: 'user', content: [picture, picture] }] };
  for (const [body, code, param] of [
    [two, 'too_many_images', 'messages[0].content[1]'],
    [{}, 'invalid_request', 'prompt'],
    [{ prompt: 'a', messages: [{ role: 'user', content: 'a' }] }, 'invalid_request', 'prompt'],
    [{ prompt: ['a', 'b'] }, 'invalid_request', 'prompt'],
    [{ prompt: 'a', add_special_tokens: 'yes' }, 'invalid_request', 'add_special_tokens'],
    [{ prompt: 'a', chat_template: 'x' }, 'unsupported_parameter', 'chat_template'],
    [{ prompt: 'a', model: 'nope' }, 'model_not_found', 'model'],
  ] as const) {
    const { text } = await postJson(`${stack.url}/tokenize`, body);
    expect(JSON.parse(text)).toMatchObject({ error: { code, param } });
  }
});

test('unless it is enabled the route does not exist, and the answer names the setting', async () => {
  await using off = await startStack({ launchers: 0 });
  for (const path of ['/tokenize', '/detokenize']) {
    const { status, text } = await postJson(off.url + path, { prompt: 'hi' });
    expect(status).toBe(404);
    expect(text).toContain('GATEWAY_TOKENIZE');
  }
});
