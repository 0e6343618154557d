import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import type { ResponseInput } from 'openai/resources/responses/responses';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { noisePng } from '../support/pictures.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const ITEMS_MS = 3_000;

const folder = temporaryFolder();
const keys = new Map<string, string>();
let stack: Stack;
beforeAll(async () => {
  const file = `${folder.path}/keys.yaml`;
  for (const id of ['mine', 'other'])
    keys.set(id, (await penstock(['keys', 'create', '--file', file, '--id', id])).stdout.trim());
  stack = await startStack({
    gateways: 2,
    twoRedis: true,
    gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_ITEMS_TTL_MS: String(ITEMS_MS) },
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '2' },
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const client = (at = 0, key = 'mine'): OpenAI =>
  new OpenAI({ baseURL: `${stack.gateways[at]?.url}/v1`, apiKey: keys.get(key) ?? '', maxRetries: 0 });
const base = { model: MODEL, max_output_tokens: 30, temperature: 0 };
// Pictures of this size are never texts in a gateway.
const picture = {
  type: 'input_image',
  image_url: `data:image/png;base64,${noisePng(160, 120).toString('base64')}`,
  detail: 'auto',
} as const;
const said = (text: string) => ({ role: 'assistant', content: text }) as const;
const asked = (content: string) => ({ role: 'user', content }) as const;
/** Everything of an answer that depends on its prompt. */
const meaning = ({ output_text: text, usage }: OpenAI.Responses.Response) => [text, usage?.input_tokens];
/** The response in the last event of a stream, in the moment of that event. */
const lastEventOf = (stream: ReturnType<OpenAI['responses']['stream']>): Promise<OpenAI.Responses.Response> =>
  new Promise((resolve) =>
    stream.on('event', (event) => {
      if (event.type === 'response.completed' || event.type === 'response.incomplete') resolve(event.response);
    }),
  );
const refusalOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'it is answered',
    (error: unknown) => (error instanceof OpenAI.APIError ? [error.status, error.code, error.param] : error),
  );

test('a request that names a response gets the answer of the entire conversation, at any gateway, of any age', async () => {
  const first = await client().responses.create({ ...base, input: 'What is in the harbour?', store: true });
  const second = await client(1).responses.create({
    ...base,
    instructions: 'Be brief.',
    input: 'And behind it?',
    store: true,
    previous_response_id: first.id,
  });
  expect(second.previous_response_id).toBe(first.id);
  const third = await client().responses.create({ ...base, input: 'Why?', previous_response_id: second.id });
  const input = [asked('What is in the harbour?'), said(first.output_text), asked('And behind it?')];
  const wholeSecond = await client().responses.create({ ...base, instructions: 'Be brief.', input });
  expect(meaning(second)).toEqual(meaning(wholeSecond));
  // Instructions are not carried over.
  const whole = [...input, said(second.output_text), asked('Why?')];
  expect(meaning(third)).toEqual(meaning(await client().responses.create({ ...base, input: whole })));
  const branch = await client(1).responses.create({ ...base, input: 'And now?', previous_response_id: first.id });
  const other = [asked('What is in the harbour?'), said(first.output_text), asked('And now?')];
  expect(meaning(branch)).toEqual(meaning(await client().responses.create({ ...base, input: other })));
});

test('a chain keeps its picture, in the background and as a stream; a second picture is refused', async () => {
  const input: ResponseInput = [{ role: 'user', content: [picture, { type: 'input_text', text: 'What is it?' }] }];
  const begun = await client().responses.create({ ...base, input, store: true, background: true });
  const first = await eventually('it is over', async () => {
    const response = await client(1).responses.retrieve(begun.id);
    return ['queued', 'in_progress'].includes(response.status ?? '') ? undefined : response;
  });
  const stream = client().responses.stream({ ...base, input: 'Its colour?', previous_response_id: first.id });
  const second = await stream.finalResponse();
  const whole = [...input, said(first.output_text), asked('Its colour?')];
  expect(meaning(second)).toEqual(meaning(await client().responses.create({ ...base, input: whole })));
  const again = client().responses.create({ ...base, input, previous_response_id: first.id });
  expect(await refusalOf(again)).toEqual([400, 'too_many_images', 'input[0].content[0]']);
  const items = await client(1).responses.inputItems.list(first.id);
  expect(items.data).toMatchObject([{ role: 'user', content: [picture, { type: 'input_text', text: 'What is it?' }] }]);
});

test('what a response was asked can be listed, in pages', async () => {
  const input = [asked('One?'), said('Two.'), asked('Three?')];
  const { id } = await client().responses.create({ ...base, input, store: true });
  const texts = [];
  for await (const item of client(1).responses.inputItems.list(id, { limit: 2, order: 'asc' }))
    texts.push('content' in item && 'role' in item && [item.role, item.content]);
  expect(texts).toEqual([
    ['user', [{ type: 'input_text', text: 'One?' }]],
    ['assistant', [{ type: 'output_text', text: 'Two.', annotations: [] }]],
    ['user', [{ type: 'input_text', text: 'Three?' }]],
  ]);
  const newest = await client().responses.inputItems.list(id, { limit: 1 });
  expect(newest.data).toMatchObject([{ content: [{ text: 'Three?' }] }]);
  expect(await refusalOf(client(0, 'other').responses.inputItems.list(id))).toEqual([404, 'answer_not_found', null]);
});

test('a response that is gone, foreign, not stored, unfinished or cancelled is refused by name', async () => {
  const follow = (previous_response_id: string, key = 'mine') =>
    refusalOf(client(0, key).responses.create({ ...base, input: 'And?', previous_response_id }));
  const gone = [400, 'previous_response_not_found', 'previous_response_id'];
  const odd = [400, 'invalid_request', 'previous_response_id'];
  const first = await client().responses.create({ ...base, input: 'One?', store: true });
  const second = await client().responses.create({
    ...base,
    input: 'Two?',
    store: true,
    previous_response_id: first.id,
  });
  expect(await follow('resp_0')).toEqual(gone);
  expect(await follow(second.id, 'other')).toEqual(gone);
  await client(1).responses.delete(first.id);
  expect(await follow(second.id)).toEqual(gone);
  expect(await stack.redis.client.keys('*answer-input*')).not.toContain(`{penstock:${MODEL}}:answer-input:${first.id}`);
  const quick = await client().responses.create({ ...base, input: 'One?', background: true });
  await eventually('it is over', async () => (await client().responses.retrieve(quick.id)).status !== 'queued');
  expect(await follow(quick.id)).toEqual(odd);
  const long = { ...base, max_output_tokens: 4_000, input: 'One?', background: true, store: true, ignore_eos: true };
  const slow = await client().responses.create(long);
  expect(await follow(slow.id)).toEqual(odd);
  await client(1).responses.cancel(slow.id);
  expect(await follow(slow.id)).toEqual(odd);
  const empty = await refusalOf(client().responses.create({ ...base, input: 'And?', previous_response_id: '' }));
  expect(empty).toEqual(odd);
});

test('a conversation that is too long for the model is refused, and names its input', async () => {
  const words = 'word '.repeat(60_000);
  const first = await client().responses.create({ ...base, input: words, store: true });
  const more = client().responses.create({ ...base, input: 'word '.repeat(80_000), previous_response_id: first.id });
  expect(await refusalOf(more)).toEqual([
    400,
    expect.stringMatching(/context_length_exceeded|engine_refused/),
    'input',
  ]);
}, 30_000);

test('an item of an answer can be named instead of sent, as long as it is kept, by its own key', async () => {
  const whole = await client().responses.create({ ...base, input: 'One?' });
  const stream = await client(1)
    .responses.stream({ ...base, input: 'One?' })
    .finalResponse();
  const silent = await client().responses.create({ ...base, input: 'One?', store: false });
  const follow = (response: OpenAI.Responses.Response, key = 'mine') =>
    client(1, key).responses.create({
      ...base,
      input: [asked('One?'), { type: 'item_reference', id: response.output[0]?.id ?? '' }, asked('Two?')],
    });
  const plain = await client().responses.create({
    ...base,
    input: [asked('One?'), said(whole.output_text), asked('Two?')],
  });
  expect(meaning(await follow(whole))).toEqual(meaning(plain));
  expect(meaning(await follow(stream))).toEqual(meaning(plain));
  const refused = [400, 'invalid_request', 'input[1].id'];
  expect(await refusalOf(follow(silent))).toEqual(refused);
  expect(await refusalOf(follow(whole, 'other'))).toEqual(refused);
  await eventually('it is no longer kept', async () => {
    const found = await refusalOf(follow(whole));
    return Array.isArray(found) && expect(found).toEqual(refused) === undefined;
  });
});

test('an answer whose request does not say is stored if the operator says so', async () => {
  const gateway = await stack.startGateway({ GATEWAY_STORE_ABSENT: 'true' });
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: keys.get('mine') ?? '', maxRetries: 0 });
  const first = await openai.responses.create({ ...base, input: 'One?' });
  const second = await client().responses.create({ ...base, input: 'Two?', previous_response_id: first.id });
  expect(meaning(second)).toEqual(
    meaning(
      await client().responses.create({ ...base, input: [asked('One?'), said(first.output_text), asked('Two?')] }),
    ),
  );
  const not = await openai.responses.create({ ...base, input: 'One?', store: false });
  expect(await refusalOf(openai.responses.retrieve(not.id))).toEqual([404, 'answer_not_found', null]);
});

test('a client may go on the moment that it has the last event, at any gateway', async () => {
  for (let n = 0; n < 20; n += 1) {
    const stream = client().responses.stream({ ...base, max_output_tokens: 3, input: 'One?', store: true });
    const first = await lastEventOf(stream);
    await client(1).responses.create({ ...base, input: 'Two?', previous_response_id: first.id, max_output_tokens: 1 });
  }
  for (let n = 0; n < 20; n += 1) {
    const stream = client().responses.stream({ ...base, max_output_tokens: 3, input: 'One?' });
    const first = await lastEventOf(stream);
    const input: ResponseInput = [
      asked('One?'),
      { type: 'item_reference', id: first.output[0]?.id ?? '' },
      asked('Two?'),
    ];
    await client(1).responses.create({ ...base, input, max_output_tokens: 1 });
  }
});

test('a response that is not kept names the one before it too, and a background response has items', async () => {
  const first = await client().responses.create({ ...base, input: 'One?', store: true });
  const asks = { ...base, input: 'Two?', previous_response_id: first.id };
  expect((await client(1).responses.create(asks)).previous_response_id).toBe(first.id);
  const created = [];
  for await (const event of await client().responses.create({ ...asks, stream: true }))
    if ('response' in event) created.push(event.response.previous_response_id);
  expect(new Set(created)).toEqual(new Set([first.id]));
  const begun = await client().responses.create({ ...base, input: 'One?', background: true });
  const done = await eventually('it is over', async () => {
    const response = await client(1).responses.retrieve(begun.id);
    return ['queued', 'in_progress'].includes(response.status ?? '') ? undefined : response;
  });
  const input: ResponseInput = [asked('One?'), { type: 'item_reference', id: done.output[0]?.id ?? '' }, asked('Two?')];
  expect((await client(1).responses.create({ ...base, input })).output_text).not.toBe('');
});

test('a response that is refused, cancelled or deleted leaves nothing of what it was asked', async () => {
  const { client: redis } = stack.redis;
  const all = async (): Promise<string[]> =>
    (await redis.keys('*:answer-input:*')).concat(await redis.keys('*:answer-said:*'));
  for (const key of await all()) await redis.del(key);
  const long = client().responses.create({ ...base, input: 'word '.repeat(140_000), store: true });
  expect(await refusalOf(long)).toEqual([400, 'context_length_exceeded', 'input']);
  const endless = { ...base, max_output_tokens: 4_000, ignore_eos: true, input: 'One?', background: true, store: true };
  const slow = await client().responses.create(endless);
  await client(1).responses.cancel(slow.id);
  const ids = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { id } = await client().responses.create({ ...base, input: 'One?', background: true, store: true });
      await client(1).responses.delete(id);
      return id;
    }),
  );
  await eventually('no input is left', async () => (await all()).length === 0);
  const sizes = await redis.hkeys(`{penstock:${MODEL}}:kept-sizes`);
  for (const id of ids) {
    expect(sizes).not.toContain(id);
    const left = (): Promise<string[]> => redis.keys(`*:answer*:${id}`);
    await eventually('nothing of it is left', async () => expect(await left()).toEqual([]) === undefined);
  }
});

test('a client that leaves while its chain is read gives its memory back', async () => {
  const gateway = await stack.startGateway({ GATEWAY_BODY_MEMORY_KEY_BYTES: '400000' });
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: keys.get('mine') ?? '', maxRetries: 0 });
  let last = await client().responses.create({
    ...base,
    max_output_tokens: 1,
    input: 'word '.repeat(2_000),
    store: true,
  });
  for (let n = 0; n < 8; n += 1)
    last = await client().responses.create({
      ...base,
      max_output_tokens: 1,
      input: 'word '.repeat(2_000),
      store: true,
      previous_response_id: last.id,
    });
  const follow = { ...base, max_output_tokens: 1, input: 'And?', previous_response_id: last.id };
  for (let ms = 1; ms <= 40; ms += 1)
    await openai.responses.create(follow, { signal: AbortSignal.timeout(ms % 20 || 1) }).catch(() => {});
  await eventually(
    'its memory is free',
    () =>
      openai.responses.create(follow).then(
        () => true,
        () => false,
      ),
    10_000,
  );
  // Many references to one item take memory as often.
  const long = { ...base, max_output_tokens: 4_000, input: 'One?', ignore_eos: true };
  const { output } = await client().responses.create(long);
  const reference = { type: 'item_reference', id: output[0]?.id ?? '' } as const;
  const many = openai.responses.create({
    ...base,
    input: [...Array.from({ length: 500 }, () => reference), asked('And?')],
  });
  expect(await refusalOf(many)).toEqual([503, 'overloaded', null]);
});

test('each response of a chain is kept for the whole time again when the chain is used', async () => {
  const first = await client().responses.create({ ...base, input: 'One?', store: true });
  const names = ['answer', 'answer-archive', 'answer-input'].map((kind) => `{penstock:${MODEL}}:${kind}:${first.id}`);
  const { client: redis } = stack.redis;
  await eventually('it is packed', async () => (await redis.exists(...names)) === names.length);
  for (const name of names) await redis.pexpire(name, 20_000);
  await client().responses.create({ ...base, input: 'Two?', previous_response_id: first.id });
  for (const name of names) expect(await redis.pttl(name)).toBeGreaterThan(80_000_000);
});
