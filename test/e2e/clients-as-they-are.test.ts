import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { startStack, type Stack } from '../support/stack.ts';

const VISION = 'Phi-3-vision-128k-instruct';
const messages = [{ role: 'user' as const, content: 'hi' }];
const hi = { messages, max_tokens: 2 };
const score = { input_data: { input_string: messages, parameters: { max_new_tokens: 2 } } };
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({});
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

const send = (path: string, body: unknown, headers: Record<string, string> = {}, url = stack.url): Promise<Response> =>
  fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
const to = (deployment: string) => ({ 'azureml-model-deployment': deployment });
async function refusal(response: Response, status: number) {
  expect(response.status).toBe(status);
  return Refused.parse(await response.json()).error;
}

test.each(['/responses', '/responses/resp_1', '/moderations', '/audio/speech', '/files'])(
  'E6: the refusal of %s says that the base URL lacks /v1',
  async (path) => {
    const { code, message } = await refusal(await send(path, { model: VISION, input: 'hi' }), 404);
    expect([code, message.includes('end the base URL of your client in /v1')]).toEqual(['route_not_found', true]);
  },
);

test('the refusal of a path under /score says what to remove from the URL', async () => {
  const { code, message } = await refusal(await send('/score/chat/completions', hi), 404);
  expect([code, message.includes('remove /score from the base URL')]).toEqual(['route_not_found', true]);
});

test('E6: the refusal of streaming with usage, without /v1, says what the base URL lacks', async () => {
  const body = { ...hi, stream: true, stream_options: { include_usage: true } };
  const { code, message } = await refusal(await send('/chat/completions', body), 400);
  expect([code, message.includes('a base URL that ends in /v1')]).toEqual(['unsupported_parameter', true]);
});

test('E6: OpenAI’s SDK without /v1 lists the models', async () => {
  const client = new OpenAI({ baseURL: stack.url, apiKey: 'none' });
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual([VISION]);
});

test('E6: the refusal of another unknown path does not mention /v1', async () => {
  expect((await refusal(await send('/nothing', {}), 404)).message).not.toContain('/v1');
});

test('E7: /health and /ping are 200 with an engine and 503 without, /version is the gateway’s', async () => {
  await using bare = await startStack({ launchers: 0 });
  for (const path of ['/health', '/ping'])
    for (const [url, status] of [
      [stack.url, 200],
      [bare.url, 503],
    ] as const) {
      const response = await fetch(url + path);
      expect([path, response.status, await response.text()]).toEqual([path, status, '']);
    }
  expect(await (await fetch(`${stack.url}/version`)).json()).toEqual({ version: expect.stringMatching(/^\d+\.\d+\./) });
});

test.each([
  'phi-3-vision',
  'phi-3-vision-128k-instruct',
  'PHI-3-VISION-128K-INSTRUCT',
  'Microsoft/phi-3-vision-128k-instruct',
])('E8: %s means the card, as a model and as a deployment', async (name) => {
  const scored = await send('/score', score, to(name));
  expect([scored.status, scored.headers.get('azureml-model-deployment')]).toEqual([200, name]);
  expect((await send('/v1/chat/completions', { ...hi, model: name })).status).toBe(200);
  expect((await send(`/openai/deployments/${encodeURIComponent(name)}/chat/completions`, hi)).status).toBe(200);
});

test('E8: an unknown deployment in Azure’s header means the only card, and the answer says so', async () => {
  for (const [path, body] of [
    ['/score', score],
    ['/chat/completions', hi],
    ['/models/chat/completions', hi],
  ] as const) {
    const answer = await send(path, body, to('blue'));
    const told = ['azureml-model-deployment', 'azureml-model-session'].map((name) => answer.headers.get(name));
    expect([path, answer.status, told]).toEqual([path, 200, [VISION, VISION]]);
  }
});

test('E8: a setting makes the gateway refuse it', async () => {
  await using strict = await startStack({ launchers: 0, gatewayEnv: { GATEWAY_UNKNOWN_DEPLOYMENT: 'refuse' } });
  const { code } = await refusal(await send('/score', score, to('blue'), strict.url), 404);
  expect(code).toBe('deployment_not_found');
});

test.each([
  ['/openai/chat/completions', { ...hi, model: VISION }],
  ['/openai/completions', { model: VISION, prompt: 'hi', max_tokens: 2 }],
])('E9: %s is served as under /openai/v1', async (path, body) => {
  const answer = await send(`${path}?api-version=2025-04-01-preview`, body);
  expect([answer.status, answer.headers.get('apim-request-id')]).toEqual([200, expect.any(String)]);
  const streamed = await (await send(path, { ...body, stream: true })).text();
  expect(streamed.trimEnd().endsWith('data: [DONE]')).toBe(true);
});

test('E11: a model’s `created` is the release date of its card', async () => {
  const Model = z.object({ created: z.int() });
  const Models = z.object({ data: z.array(Model) });
  const day = Date.parse('2024-05-21') / 1_000;
  for (const base of ['/v1', '/openai', '/openai/v1']) {
    expect(Models.parse(await (await fetch(`${stack.url}${base}/models`)).json()).data).toEqual([{ created: day }]);
    expect(Model.parse(await (await fetch(`${stack.url}${base}/models/azureai`)).json()).created).toBe(day);
  }
});

test('E12: a list of prompts is refused with what to do', async () => {
  const { message } = await refusal(await send('/v1/completions', { model: VISION, prompt: ['a', 'b'] }), 400);
  expect(message).toContain('send each prompt in a request of its own');
});

test('G: fields without effect are listed in the header, whatever their letters', async () => {
  const names = ['ünï', '日本', 'a b', '$ref', '😀'];
  const answer = await send('/v1/chat/completions', {
    ...hi,
    model: VISION,
    ...Object.fromEntries(names.map((n) => [n, 1])),
  });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('x-penstock-ignored')?.split(', ').map(decodeURIComponent)).toEqual(names);
  const long = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [String(index) + '日'.repeat(60), 1]));
  const bounded = (await send('/v1/chat/completions', { ...hi, model: VISION, ...long })).headers.get(
    'x-penstock-ignored',
  );
  expect(bounded?.length).toBeGreaterThan(500);
  expect(bounded?.length).toBeLessThan(2_100);
});

test.each([
  ['/v1/v1/chat/completions', '/v1'],
  ['/openai/v1/v1/responses', '/v1'],
  ['/openai/openai/deployments/x/chat/completions', '/openai'],
  ['/openai/v1/openai/v1/chat/completions', '/openai/v1'],
  ['/v1/chat/completions/chat/completions', '/chat/completions'],
  ['/v1/chat/completions/v1/chat/completions', '/v1/chat/completions'],
  ['/openai/v1/responses/responses', '/responses'],
  ['/models/models/chat/completions', '/models'],
  ['/score/score', '/score'],
])('E6: the refusal of %s says that the path contains %s twice', async (path, part) => {
  const { code, message } = await refusal(await send(path, hi), 404);
  expect(code).toBe('route_not_found');
  expect(message).toContain(`${part} is in it twice: remove one from the base URL of your client`);
  expect(message).not.toContain('stored');
});

test('E6: a path that only looks similar keeps its own reason', async () => {
  expect((await refusal(await send('/v1/threads/responses_1', hi), 404)).message).toContain('nothing is stored here');
  expect((await refusal(await send('/v1/v12/chat', hi), 404)).message).not.toContain('twice');
});

test.each(['chat/completions', 'completions', 'embeddings'])(
  'E6: the refusal of a deployments path without a name before %s says so',
  async (rest) => {
    const { code, message } = await refusal(await send(`/openai/deployments//${rest}?api-version=1`, hi), 404);
    expect([code, message.includes('names no deployment')]).toEqual(['DeploymentNotFound', true]);
  },
);

test('E6: a doubled slash before a deployment’s name does no harm', async () => {
  expect((await send(`//openai//deployments//${VISION}//chat/completions`, hi)).status).toBe(200);
});

test('E6: the refusal of files does not mention batches; those of /tokenize and /detokenize name GATEWAY_TOKENIZE', async () => {
  const told = async (path: string) => Refused.parse(await (await send(path, hi)).json()).error.message;
  expect(await told('/v1/batches')).toContain('takes no batches');
  for (const path of ['/v1/files', '/v1/uploads', '/openai/files']) {
    expect(await told(path)).toContain('no files are kept here');
    expect(await told(path)).not.toContain('takes no batches');
  }
  expect(await told('/tokenize')).toBe(
    '/tokenize is not served; it is served if the operator sets GATEWAY_TOKENIZE=true',
  );
  expect(await told('/detokenize')).toBe(
    '/detokenize is not served; /tokenize is served if the operator sets GATEWAY_TOKENIZE=true',
  );
});

test.each([
  ['/v1/chat/completions', { ...hi, model: VISION }],
  ['/v1/completions', { model: VISION, prompt: 'hi', max_tokens: 2 }],
  ['/v1/responses', { model: VISION, input: 'hi', max_output_tokens: 2 }],
  [`/openai/deployments/${VISION}/chat/completions`, hi],
  ['/chat/completions', hi],
])('E5: %s accepts a seed of 64 bits, and quotes a longer one as it was sent', async (path, body) => {
  const ask = (seed: string) =>
    fetch(stack.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, seed: 0 }).replace('"seed":0', `"seed" : ${seed}`),
    });
  for (const seed of ['9223372036854775807', '-9223372036854775808'])
    expect([seed, (await ask(seed)).status]).toEqual([seed, 200]);
  for (const seed of ['9223372036854775808', '18446744073709551616']) {
    const answer = await ask(seed);
    expect([400, 422]).toContain(answer.status);
    expect(await answer.text()).toContain(seed);
  }
});
