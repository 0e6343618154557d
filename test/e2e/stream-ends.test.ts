import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { chat, completions, type Route } from '../bad-requests/route.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** A client that checks every chunk: typed clients fail on a missing `delta` or `finish_reason`. */
const common = { index: z.literal(0), finish_reason: z.string().nullable() };
const Chunk = z.object({
  id: z.string(),
  created: z.number(),
  model: z.string(),
  choices: z.tuple([
    z.union([
      z.object({ ...common, delta: z.object({ content: z.string().optional() }) }),
      z.object({ ...common, text: z.string() }),
    ]),
  ]),
});
const Whole = z.object({
  choices: z.tuple([
    z.object({
      message: z.object({ content: z.string() }).optional(),
      text: z.string().optional(),
      finish_reason: z.string(),
    }),
  ]),
});

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ workerEnv: { WORKER_ENGINE_ARGS: '--stream-interval 4' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

async function whole(route: Route, parameters: object) {
  const { text } = await postJson(stack.url + route.path, route.withParameters(parameters));
  const [choice] = Whole.parse(JSON.parse(text)).choices;
  return { text: choice.message?.content ?? choice.text ?? '', finish: choice.finish_reason };
}
async function streamed(route: Route, parameters: object) {
  const { text } = await postJson(stack.url + route.path, route.withParameters({ ...parameters, stream: true }));
  const events = text.split('\n\n').filter((event) => event !== '');
  expect(events.pop()).toBe('data: [DONE]');
  const chunks = events.map((event) => Chunk.parse(JSON.parse(event.slice('data: '.length))));
  const choices = chunks.map(({ choices: [choice] }) => choice);
  return {
    text: choices.map((choice) => ('delta' in choice ? (choice.delta.content ?? '') : choice.text)).join(''),
    finish: choices.flatMap((choice) => choice.finish_reason ?? []),
    identities: new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)),
    chunks: chunks.length,
  };
}

test.each([
  [chat, 1],
  [chat, 5],
  [chat, 13],
  [completions, 1],
  [completions, 5],
  [completions, 13],
])('$path, %i tokens in chunks of four: no text and no reason is lost at the end', async (route, tokens) => {
  const parameters = { max_tokens: tokens, temperature: 0, ignore_eos: true };
  const expected = await whole(route, parameters);
  const seen = await streamed(route, parameters);
  expect(expected.text).not.toBe('');
  expect([seen.text, seen.finish]).toEqual([expected.text, [expected.finish]]);
  expect(expected.finish).toBe('length');
  expect(seen.identities.size).toBe(1);
  expect(seen.chunks).toBeLessThan(tokens + 2);
});

test.each([chat, completions])('$path: a stop text met on the last token ends both forms alike', async (route) => {
  const parameters = { max_tokens: 5, temperature: 0, ignore_eos: true };
  const { text } = await whole(route, parameters);
  const stop = text.slice(-3);
  const expected = await whole(route, { ...parameters, stop });
  const seen = await streamed(route, { ...parameters, stop });
  expect(expected).toEqual({ text: text.slice(0, text.indexOf(stop)), finish: 'stop' });
  expect([seen.text, seen.finish]).toEqual([expected.text, ['stop']]);
  expect(seen.identities.size).toBe(1);
});
