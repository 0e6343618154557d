import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI, { AzureOpenAI } from 'openai';
import { z } from 'zod';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const VISION = 'Phi-3-vision-128k-instruct';
const BASE = 'River-base';
const messages = [{ role: 'user' as const, content: 'hi' }];
const hi = { messages, max_tokens: 3 };
const score = { input_data: { input_string: messages, parameters: { max_new_tokens: 3 } } };
const OUTPUT = z.strictObject({ output: z.string() });

const folder = temporaryFolder();
let stack: Stack;

/** A vision model that chats, and a base model whose card allows batches. */
beforeAll(async () => {
  await copyFile('deploy/models/phi-3-vision-128k-instruct.yaml', join(folder.path, 'vision.yaml'));
  const card = await readFile('deploy/models/more/phi-4.yaml', 'utf8');
  const base = card
    .replace(/^name: .*$/m, `name: ${BASE}`)
    .replace(/^aliases:\n( +- .*\n)+/m, 'aliases: [river]\n')
    .replace('task: chat-completion', 'task: text-generation')
    .replace('batch: false', 'batch: true');
  await writeFile(join(folder.path, 'base.yaml'), base);
  stack = await startStack({
    launchers: 2,
    gatewayEnv: {
      GATEWAY_MODELS_DIR: folder.path,
      GATEWAY_DEPLOYMENTS: `team/blue=azureai, green=${BASE}`,
      GATEWAY_DEPLOYMENT_NAME: 'endpoint',
    },
    workerEnv: { WORKER_MODELS_DIR: folder.path },
    launcherEnvs: [{ WORKER_MODEL: VISION }, { WORKER_MODEL: BASE }],
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function send(path: string, body?: unknown, headers: Record<string, string> = {}, method?: string) {
  return fetch(stack.url + path, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { 'content-type': 'application/json', ...headers },
    redirect: 'error',
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
const to = (deployment: string) => ({ 'azureml-model-deployment': deployment });
const modelOf = async (response: Response) => z.object({ model: z.string() }).parse(await response.json()).model;

test.each([
  ['by its name', VISION],
  ['by an alias', 'phi3-mini-vision'],
  ['by a name of the operator', 'team/blue'],
])('a deployment is chosen %s in the header, and the answer names it', async (_how, name) => {
  const scored = await send('/score', score, to(name));
  expect(scored.status).toBe(200);
  OUTPUT.parse(await scored.json());
  const chatted = await send('/chat/completions', { ...hi, model: 'whatever' }, to(name));
  expect([chatted.status, await modelOf(chatted)]).toEqual([200, VISION]);
  const streamed = await send('/chat/completions', { ...hi, stream: true }, to(name));
  await streamed.text();
  for (const { headers } of [scored, chatted, streamed])
    expect([headers.get('azureml-model-deployment'), headers.get('azureml-model-session')]).toEqual([name, name]);
  expect(Number(scored.headers.get('ms-azureml-model-time'))).toBeGreaterThanOrEqual(0);
});

test('without a choice the answer names the gateway as the deployment, and asks for a model', async () => {
  for (const headers of [{}, to('endpoint')]) {
    const refused = await send('/score', score, headers);
    expect([refused.status, refused.headers.get('ms-azureml-model-error-statuscode')]).toEqual([424, '400']);
    expect(refused.headers.get('azureml-model-deployment')).toBe('endpoint');
    expect(await refused.json()).toMatchObject({
      error: { code: 'no_model_name', param: 'azureml-model-deployment', message: expect.stringContaining(BASE) },
    });
    const named = await send('/chat/completions', { ...hi, model: 'azureai' }, headers);
    expect([named.status, await modelOf(named)]).toEqual([200, VISION]);
  }
  const nowhere = await send('/models/chat/completions', hi);
  expect([nowhere.status, nowhere.headers.get('x-ms-error-code')]).toEqual([400, 'no_model_name']);
  const mesh = await send('/models/chat/completions', hi, { 'x-ms-model-mesh-model-name': 'azureai' });
  expect([mesh.status, await modelOf(mesh)]).toEqual([200, VISION]);
});

test('an unknown deployment is the endpoint’s 404 before the body is read, and creates no job', async () => {
  const before = await stack.metric('penstock_jobs_added_total');
  for (const path of ['/score', '/chat/completions', '/models/completions']) {
    const response = await send(path, { anything: 1 }, to('nope'));
    expect([response.status, response.headers.get('x-ms-error-code')]).toEqual([404, 'deployment_not_found']);
  }
  expect((await send('/info', undefined, to('nope'))).status).toBe(404);
  const azure = await send('/openai/deployments/no%2Fpe/chat/completions', { anything: 1 });
  expect(azure.status).toBe(404);
  expect(await azure.json()).toMatchObject({ error: { code: 'DeploymentNotFound', param: 'deployment' } });
  expect(await stack.metric('penstock_jobs_added_total')).toBe(before);
});

test('/info has the fields that Azure’s SDK requires of a model', async () => {
  for (const path of ['/info', '/models/info?api-version=2024-05-01-preview']) {
    expect(await (await send(path, undefined, to(VISION))).json()).toEqual({
      model_name: VISION,
      model_type: 'chat-completion',
      model_provider_name: 'Microsoft',
      responsible_use: { notice: expect.stringContaining('stereotypes'), link: expect.stringMatching(/^https:/) },
    });
    expect(await (await send(path, undefined, to('river'))).json()).toMatchObject({ model_type: 'text-generation' });
    expect((await send(path)).status).toBe(400);
  }
});

test('several prompts to a text-generation model: an answer to each, in the forms of Azure’s container', async () => {
  const parameters = { max_new_tokens: 4 };
  const table = await send('/score', { input_data: { input_string: ['one', 'two'], parameters } }, to('green'));
  expect(table.status).toBe(200);
  const Table = z.tuple([z.strictObject({ 0: z.string().startsWith('one'), 1: z.string().startsWith('two') })]);
  const [row] = Table.parse(await table.json());
  const list = await send('/score', { input_data: ['one', 'two'], params: parameters }, to(BASE));
  expect(await list.json()).toEqual([row[0], row[1]]);
  const params = { ...parameters, return_full_text: false };
  const short = await send('/score', { input_data: ['one', 'two'], params }, to(BASE));
  expect(await short.json()).toEqual([row[0].slice('one'.length), row[1].slice('two'.length)]);
  const one = await send('/score', { input_data: ['one'], params: parameters }, to('river'));
  expect(await one.json()).toEqual([row[0]]);
});

test('a shape of the other task is refused with the expected shape', async () => {
  const prompts = { input_data: { input_string: ['one', 'two'] } };
  for (const [body, name, expected] of [
    [prompts, VISION, '"role"'],
    [score, BASE, '["…"]'],
  ] as const) {
    const response = await send('/score', body, to(name));
    expect([response.status, response.headers.get('ms-azureml-model-error-statuscode')]).toEqual([424, '400']);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining(expected) } });
  }
});

test.each(['', '/'])(
  'AzureOpenAI of the official SDK, endpoint ending in "%s": a slash in a model’s name',
  async (end) => {
    const options = { endpoint: stack.url + end, apiKey: 'unused', apiVersion: '2024-10-21', maxRetries: 0 };
    const client = new AzureOpenAI(options);
    for (const model of [`microsoft/${VISION}`, 'team/blue', VISION])
      expect(await client.chat.completions.create({ ...hi, model })).toMatchObject({ model: VISION });
    const fixed = new AzureOpenAI({ ...options, deployment: 'team/blue' });
    const stream = await fixed.chat.completions.create({ ...hi, model: 'gpt-4o', stream: true });
    let finish: string | null = null;
    for await (const { choices } of stream) finish = choices[0]?.finish_reason ?? finish;
    expect(finish).toBe('length');
    expect(await client.completions.create({ prompt: 'hi', model: 'river', max_tokens: 2 })).toMatchObject({
      model: BASE,
    });
    const unknown = client.chat.completions.create({ ...hi, model: 'gpt-4o' });
    await expect(unknown).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(unknown).rejects.toMatchObject({ status: 404, code: 'DeploymentNotFound' });
  },
);

test('OpenAI of the official SDK at /openai/v1/: the body’s model is the deployment', async () => {
  const client = new OpenAI({ baseURL: `${stack.url}/openai/v1/`, apiKey: 'unused', maxRetries: 0 });
  expect(await client.chat.completions.create({ ...hi, model: 'team/blue' })).toMatchObject({ model: VISION });
  const unknown = client.chat.completions.create({ ...hi, model: 'gpt-4o' });
  await expect(unknown).rejects.toMatchObject({ status: 404, code: 'DeploymentNotFound' });
});

test.each(['/v1', '/openai', '/openai/v1'])(
  'every model that %s/models lists can be read by its id, with slash or %%2F',
  async (base) => {
    const List = z.object({ data: z.array(z.object({ id: z.string() })) });
    const { data } = List.parse(await (await send(`${base}/models?api-version=preview`)).json());
    expect(data.map(({ id }) => id).sort()).toEqual([BASE, VISION, 'green', 'team/blue'].sort());
    for (const { id } of data)
      for (const path of [id, encodeURIComponent(id)]) {
        const response = await send(`${base}/models/${path}`);
        expect([response.status, await response.json()]).toMatchObject([200, { id }]);
      }
    const missing = await send(`${base}/models/nope`);
    const code = base === '/v1' ? 'model_not_found' : 'DeploymentNotFound';
    expect([missing.status, await missing.json()]).toMatchObject([404, { error: { code } }]);
  },
);

test.each([
  ['/score/', score, VISION],
  ['//score', score, VISION],
  ['/v1//chat/completions', { ...hi, model: VISION }, ''],
  ['/models//chat/completions/?api-version=x', { ...hi, model: VISION }, ''],
  ['/openai//deployments/azureai/chat/completions', hi, ''],
  ['/openai/deployments/microsoft%2FPhi-3-vision-128k-instruct/chat/completions', hi, ''],
])('%s is served like the path with normal slashes', async (path, body, deployment) => {
  expect((await send(path, body, deployment === '' ? {} : to(deployment))).status).toBe(200);
});

test('OPTIONS on /score is an empty 200, as of Azure’s inference server', async () => {
  const response = await send('/score', undefined, {}, 'OPTIONS');
  expect([response.status, await response.text(), response.headers.get('allow')]).toEqual([200, '', 'POST, OPTIONS']);
});

test('Azure OpenAI’s answers have its request id header', async () => {
  const response = await send('/openai/deployments/azureai/chat/completions', hi, { 'x-request-id': 'mine' });
  expect(response.headers.get('apim-request-id')).toBe('mine');
  expect(response.headers.get('x-request-id')).toBe('mine');
});

test.each(
  ['/openai', '/openai/v1'].flatMap(
    (base) =>
      [
        [`${base}/chat/completions`, { messages }],
        [`${base}/completions`, { prompt: 'hi' }],
        [`${base}/responses`, { input: 'hi' }],
      ] as const,
  ),
)('%s: an unknown deployment has Azure’s code, and the answer its id of the request', async (path, body) => {
  const refused = await send(path, { model: 'nope', ...body });
  const { error } = z.object({ error: z.looseObject({ code: z.string() }) }).parse(await refused.json());
  expect([refused.status, error.code]).toEqual([404, 'DeploymentNotFound']);
  expect(refused.headers.get('apim-request-id')).toEqual(expect.any(String));
});

test('the same refusal has the same code on every route', async () => {
  const png = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
  const two = [{ role: 'user', content: [png, png] }];
  const answers = [
    await send('/v1/chat/completions', { model: VISION, messages: two }),
    await send('/chat/completions', { model: VISION, messages: two }),
    await send('/openai/deployments/azureai/chat/completions', { messages: two }),
    await send('/score', { input_data: { input_string: two } }, to(VISION)),
  ];
  expect(answers.map(({ status }) => status)).toEqual([400, 400, 400, 424]);
  for (const answer of answers) {
    const { error } = z.object({ error: z.looseObject({ code: z.string() }) }).parse(await answer.json());
    expect(error).toMatchObject({ code: 'too_many_images', card: VISION, asked: 2, allowed: 1 });
    expect(answer.headers.get('retry-after')).toBeNull();
  }
});

test('strict-compat: failures that Azure’s container hid behind an empty 200 are hidden here too', async () => {
  await using strict = await startStack({
    launchers: 0,
    gatewayEnv: { GATEWAY_SCORE_ERRORS: 'strict-compat', GATEWAY_NO_ENGINE_HOLD_MS: '100' },
  });
  const url = `${strict.url}/score`;
  for (const body of [{ messages }, { input_data: JSON.stringify(score.input_data) }, { input_data: {} }, []]) {
    const { status, text, headers } = await postJson(url, body);
    expect([status, text]).toEqual([200, '{}']);
    expect(headers.get('content-type')).toBe('application/json');
  }
  expect(await postJson(url, 'no json')).toMatchObject({ status: 424 });
  expect(await postJson(url, score)).toMatchObject({ status: 503 });
  expect((await postJson(`${strict.url}/v1/chat/completions`, {})).status).toBe(400);
}, 60_000);
