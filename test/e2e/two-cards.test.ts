import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { Answer, Refusal, post } from '../support/chat-client.ts';
import { askEngine } from '../support/engine-request.mjs';
import { png } from '../support/pictures.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const VISION = 'Phi-3.5-vision-instruct';
const TEXT = 'Phi-4';
const picture = {
  type: 'image_url',
  image_url: { url: `data:image/png;base64,${png(64, 48).toString('base64')}` },
};
const Model = z.object({ id: z.string(), max_model_len: z.number(), created: z.int() });

const folder = temporaryFolder();
let stack: Stack;

beforeAll(async () => {
  for (const name of ['phi-3.5-vision-instruct', 'phi-4'])
    await copyFile(`deploy/models/more/${name}.yaml`, join(folder.path, `${name}.yaml`));
  stack = await startStack({
    launchers: 2,
    gatewayEnv: { GATEWAY_MODELS_DIR: folder.path },
    workerEnv: { ...NO_IDLE_TESTS, WORKER_MODELS_DIR: folder.path },
    launcherEnvs: [{ WORKER_MODEL: VISION }, { WORKER_MODEL: TEXT }],
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (body: object): Promise<Response> => post(`${stack.url}/v1/chat/completions`, body);
const chat = (model: string, ...parts: object[]): object => ({
  model,
  max_tokens: 4,
  messages: [{ role: 'user', content: [...parts, { type: 'text', text: 'hi' }] }],
});
/** Finished requests of each model's engines. */
async function finished(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { model, engines } of (await stack.status()).workers.flatMap(({ engines }) =>
    engines.map((engine) => ({ model: engine.model, engines: [engine] })),
  ))
    for (const engine of engines) {
      const page = await (await askEngine(engine, '/metrics')).text();
      const lines = page.split('\n').filter((line) => line.startsWith('vllm:request_success_total{'));
      const sum = lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
      counts[model] = (counts[model] ?? 0) + sum;
    }
  return counts;
}

test('E11: both are listed, each with its own context and release date', async () => {
  const list = z.object({ data: z.array(Model) }).parse(await (await fetch(`${stack.url}/v1/models`)).json());
  expect(list.data).toEqual([
    { id: VISION, max_model_len: 131_072, created: Date.parse('2024-08-20') / 1_000 },
    { id: TEXT, max_model_len: 16_384, created: Date.parse('2024-12-12') / 1_000 },
  ]);
});

test('each request is answered by an engine of its own model', async () => {
  const before = await finished();
  for (const model of [VISION, 'microsoft/Phi-3.5-vision-instruct', TEXT]) {
    const response = await ask(chat(model));
    expect(response.status).toBe(200);
    expect(Answer.parse(await response.json()).model).toBe(model === TEXT ? TEXT : VISION);
  }
  const after = await finished();
  expect(Object.keys(after).sort()).toEqual([VISION, TEXT].sort());
  expect([VISION, TEXT].map((model) => (after[model] ?? 0) - (before[model] ?? 0))).toEqual([2, 1]);
});

test('each card has its own rules: pictures, length of the answer', async () => {
  const cases = [
    [chat(VISION, picture, picture), 200, ''],
    [chat(VISION, ...Array<object>(9).fill(picture)), 400, `${VISION} takes 8 images per conversation`],
    [chat(TEXT, picture), 400, `${TEXT} takes no image in a conversation`],
    [{ ...chat(VISION), max_tokens: 4_097 }, 400, `${VISION} gives at most 4096 tokens per answer`],
    [{ ...chat(TEXT), max_tokens: 4_097 }, 200, ''],
    [{ ...chat(TEXT), max_tokens: 16_385 }, 400, `${TEXT} gives at most 16384 tokens per answer`],
  ] as const;
  for (const [body, status, message] of cases) {
    const response = await ask({ ...body, stop: ['e'] });
    expect([message, response.status]).toEqual([message, status]);
    if (status !== 200) expect(Refusal.parse(await response.json()).error.message).toContain(message);
  }
});

test('without a model the refusal asks for one', async () => {
  const { model: _, ...body } = z.looseObject({ model: z.string() }).parse(chat(TEXT));
  const response = await ask(body);
  expect(response.status).toBe(400);
  expect(Refusal.parse(await response.json()).error).toMatchObject({
    param: 'model',
    message: `name one of the served models in model: ${VISION}, ${TEXT}`,
  });
});

test.each([
  ['a slash as it is', 'microsoft/phi-4', 200],
  ['a slash as %2F', 'microsoft%2Fphi-4', 200],
  ['small %2f', 'microsoft%2fphi-4', 200],
  ['a slash at the end', 'microsoft/phi-4/', 200],
  ['the plain name', TEXT, 200],
  ['an unknown name with a slash', 'microsoft/phi-9', 404],
])('a model can be read by %s', async (_how, name, status) => {
  const response = await fetch(`${stack.url}/v1/models/${name}`);
  expect(response.status).toBe(status);
  if (status === 200) expect(Model.parse(await response.json()).id).toBe(TEXT);
  else expect(Refusal.parse(await response.json()).error.code).toBe('model_not_found');
});

test('without keys the log says that only this machine can connect', () => {
  expect(stack.gateways[0]?.output()).toContain('no keys are configured: only this machine can connect');
});
