import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
/** a field of vLLM: no end before the requested length */
const ALL_TOKENS = { ignore_eos: true };

let stack: Stack;
let openai: OpenAI;
beforeAll(async () => {
  stack = await startStack();
  openai = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'unused', maxRetries: 0 });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

test('OpenAI SDK: a bare prompt is continued, by sixteen tokens unless max_tokens is set', async () => {
  const answer = await openai.completions.create({ model: MODEL, prompt: 'def main', ...ALL_TOKENS });
  expect(answer).toMatchObject({ object: 'text_completion', model: MODEL });
  expect(answer.choices[0]).toMatchObject({ finish_reason: 'length', text: expect.stringMatching(/./) });
  expect(answer.usage?.completion_tokens).toBe(16);
});

test('OpenAI SDK, streamed: the same text, and usage only on request', async () => {
  const request = {
    model: MODEL,
    prompt: 'Tell me of rivers.',
    max_tokens: 12,
    temperature: 0,
    ...ALL_TOKENS,
  };
  const whole = await openai.completions.create(request);
  const stream = await openai.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
  let text = '';
  let usage: OpenAI.CompletionUsage | null | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.text ?? '';
    usage = chunk.usage ?? usage;
  }
  expect(text).toBe(whole.choices[0]?.text);
  expect(usage).toMatchObject({ completion_tokens: 12, prompt_tokens: whole.usage?.prompt_tokens });
  const silent = await postJson(`${stack.url}/v1/completions`, { ...request, stream: true });
  expect(silent.text.endsWith('data: [DONE]\n\n')).toBe(true);
  expect(silent.text).not.toContain('"choices":[]');
});

test('one prompt in a list, or as token ids, is one prompt', async () => {
  const ask = async (prompt: string | string[] | number[] | number[][]) =>
    openai.completions.create({ model: MODEL, prompt, max_tokens: 12, temperature: 0 });
  expect((await ask(['hi'])).choices[0]?.text).toBe((await ask('hi')).choices[0]?.text);
  const ids = await ask([15, 27, 300]);
  expect(ids.choices[0]?.text).not.toBe((await ask('hi')).choices[0]?.text);
  expect((await ask([[15, 27, 300]])).choices[0]?.text).toBe(ids.choices[0]?.text);
});

test('several prompts are a batch, which the card refuses', async () => {
  const failure = openai.completions.create({ model: MODEL, prompt: ['one', 'two', 'three'] });
  await expect(failure).rejects.toMatchObject({
    status: 400,
    code: 'batch_not_supported',
    param: 'prompt',
    error: { asked: 3, allowed: 1, card: MODEL },
  });
});

test('a field without effect is listed in a header', async () => {
  const { headers } = await postJson(`${stack.url}/v1/completions`, { prompt: 'hi', user: 'me', top_logprobs: 3 });
  expect(headers.get('x-penstock-ignored')).toBe('user, top_logprobs');
});

test('Azure’s tools can read how /score is called', async () => {
  const Document = z.object({
    openapi: z.string().startsWith('3.0'),
    paths: z.object({ '/score': z.object({ post: z.looseObject({ requestBody: z.unknown() }) }) }),
    components: z.object({ schemas: z.record(z.string(), z.record(z.string(), z.unknown())) }),
  });
  const answer = await fetch(`${stack.url}/swagger.json?version=3`);
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  const document = Document.parse(await answer.json());
  const references = JSON.stringify(document).match(/#\/components\/schemas\/\w+/g) ?? [];
  for (const reference of references)
    expect(Object.keys(document.components.schemas)).toContain(reference.split('/').at(-1));
  expect(JSON.stringify(document.components.schemas['ScoreRequest'])).toContain('"maximum":4096');
});
