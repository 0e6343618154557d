import { expect, test } from '@jest/globals';
import { Failure, toFailure } from '../../../../gateway/failure.ts';
import type { FailureCode } from '../../../../gateway/failure.ts';
import { createAzureInference } from '../../../../gateway/dialects/azure/inference.ts';

const { chat, completions } = createAzureInference('blue');
const messages = [{ role: 'user', content: 'hi' }];
const asking = (extra: string | undefined, more: Record<string, string> = {}) => ({
  headers: { ...(extra === undefined ? {} : { 'extra-parameters': extra }), ...more },
});

function refusal(body: object, extra?: string, dialect = chat): Failure {
  try {
    dialect.parse(body, asking(extra));
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}
const bodyOf = (failure: Failure): unknown => JSON.parse(String(chat.renderFailure(failure).body));

test('every field of the API is accepted; null and empty ones count as absent', () => {
  const body = {
    messages,
    model: 'azureai',
    frequency_penalty: 1,
    presence_penalty: -1,
    temperature: 1.5,
    top_p: 0.5,
    max_tokens: 7,
    stop: ['x'],
    seed: 3,
    stream: 'True',
    response_format: { type: 'json_schema', json_schema: { name: 'x' } },
    tools: [],
    tool_choice: 'auto',
  };
  expect(chat.parse(body)).toMatchObject({ model: 'azureai', maxTokens: 7, stream: true, ignored: [] });
  const empty = { temperature: null, top_p: null, user: null, functions: [], suffix: '' };
  expect(chat.parse({ messages, ...empty }).sampling).toEqual({});
  expect(chat.parse({ messages, max_new_tokens: 9 })).toMatchObject({ maxTokens: 9, maxTokensParam: 'max_new_tokens' });
  expect(completions.parse({ prompt: 'hi', seed: 3 })).toMatchObject({ prompts: ['hi'], sampling: { seed: 3 } });
});

test.each([
  ['user', 'u1'],
  ['n', 1],
  ['logprobs', true],
  ['top_logprobs', 1],
  ['logit_bias', { '1': 1 }],
  ['stream_options', { include_usage: true }],
  ['max_completion_tokens', 5],
  ['top_k', 4],
  ['nonsense', 'x'],
])('the extra parameter %s is refused unless a header says how to treat it', (name, value) => {
  for (const failure of [refusal({ messages, [name]: value }), refusal({ messages, [name]: value }, 'error')])
    expect(failure).toMatchObject({ code: 'unsupported_parameter', status: 400, options: { param: name } });
  expect(chat.parse({ messages, [name]: value }, asking('drop'))).toMatchObject({ sampling: {}, ignored: [name] });
});

test('a refusal has one item per extra parameter, in FastAPI’s form; it quotes short values, never prompts', () => {
  const failure = refusal({ messages, user: 'u1', top_k: 4, prompt: 'secret', bias: { a: 1 } });
  expect(chat.renderFailure(failure)).toMatchObject({
    status: 400,
    headers: { 'x-ms-error-code': 'unsupported_parameter' },
  });
  expect(bodyOf(failure)).toMatchObject({
    error: {
      code: 'unsupported_parameter',
      status: 400,
      details: [],
      message: expect.stringContaining("['user', 'top_k'"),
    },
    detail: [
      { type: 'extra_forbidden', loc: ['body', 'user'], msg: expect.any(String), input: 'u1' },
      { type: 'extra_forbidden', loc: ['body', 'top_k'], msg: expect.any(String), input: 4 },
      { type: 'extra_forbidden', loc: ['body', 'prompt'] },
      { type: 'extra_forbidden', loc: ['body', 'bias'] },
    ],
  });
  expect(JSON.stringify(bodyOf(failure))).not.toContain('secret');
});

test('a refusal of extra parameters has Azure’s words, from which clients learn what to leave out', () => {
  const failure = refusal({ messages, stream_options: { include_usage: true }, n: 2 });
  expect(failure.message).toContain(
    "Extra parameters ['stream_options', 'n'] are not allowed when extra-parameters is not set or set to be 'error'. Set extra-parameters to 'pass-through' to pass to the model",
  );
  expect(bodyOf(failure)).toMatchObject({
    detail: [{ msg: 'Extra inputs are not permitted' }, { msg: 'Extra inputs are not permitted' }],
  });
});

test('known extra parameters pass through, checked; those that would steer the engine do not', () => {
  const pass = (body: object) => chat.parse({ messages, ...body }, asking('pass-through'));
  expect(pass({ top_k: 4, logprobs: true, n: 1, user: 'u' })).toMatchObject({
    sampling: { top_k: 4, logprobs: true },
    ignored: ['user'],
  });
  expect(refusal({ messages, top_k: 'many' }, 'pass-through')).toMatchObject({ code: 'invalid_request' });
  expect(refusal({ messages, cache_salt: 'x' }, 'pass-through')).toMatchObject({ code: 'unsupported_parameter' });
});

test('an unknown value of the extra-parameters header is a 400 that names the header', () => {
  const failure = refusal({ messages }, 'maybe');
  expect([chat.renderFailure(failure).status, failure.options.param]).toEqual([400, 'extra-parameters']);
});

test('a model in the header counts if the body names none', () => {
  const mesh = asking(undefined, { 'x-ms-model-mesh-model-name': 'Phi-4' });
  expect(chat.parse({ messages }, mesh).model).toBe('Phi-4');
  expect(chat.parse({ messages, model: null }, mesh).model).toBe('Phi-4');
  expect(chat.parse({ messages, model: 'azureai' }, mesh).model).toBe('azureai');
});

test.each([
  ['no message', { messages: [] }],
  ['an unknown role', { messages: [{ role: 'robot', content: 'x' }] }],
  ['a text part without text', { messages: [{ role: 'user', content: [{ type: 'text' }] }] }],
  ['a value out of range', { messages, top_p: 2 }],
  ['an unknown format', { messages, response_format: { type: 'xml' } }],
  ['the engine’s own format', { messages, response_format: { type: 'structural_tag' } }],
])('%s: 422 in the form of the container’s schema, with the place and without the prompt', (_what, body) => {
  const failure = refusal(body);
  const { status, headers } = chat.renderFailure(failure);
  expect([status, headers['x-ms-error-code']]).toEqual([422, 'invalid_request']);
  expect(bodyOf(failure)).toMatchObject({
    error: { code: 'invalid_request', status: 422, details: [], param: failure.options.param },
    detail: [{ type: 'value_error', loc: expect.arrayContaining(['body']), msg: failure.message }],
  });
});

test('a short bad value is quoted next to its place', () => {
  expect(bodyOf(refusal({ messages, temperature: 'hot' }))).toMatchObject({ detail: [{ input: 'hot' }] });
});

test.each<readonly [FailureCode, number, string | undefined]>([
  ['too_many_images', 400, undefined],
  ['unauthorized', 401, undefined],
  ['forbidden', 403, undefined],
  ['model_not_found', 404, undefined],
  ['deployment_not_found', 404, undefined],
  ['body_too_large', 413, undefined],
  ['queue_full', 429, '7'],
  ['worker_lost', 502, undefined],
  ['no_engine', 503, '7'],
  ['deadline_exceeded', 504, undefined],
])('%s: its own status %i, the code in header and body, Retry-After on 429 and 503 alone', (code, status, retry) => {
  const { status: told, headers, body } = chat.renderFailure(new Failure(code, 'why', { retryAfterMs: 7_000 }));
  expect([told, headers['x-ms-error-code'], headers['retry-after']]).toEqual([status, code, retry]);
  expect(JSON.parse(String(body))).toMatchObject({ error: { code, message: 'why', status } });
});

test('a broken stream ends with an error event; an event of our own keeps a silent one open', () => {
  expect(chat.renderStreamFailure(new Failure('worker_lost', 'why'))).toMatch(/^data: \{"error":\{.*\}\}\n\n$/);
  const stream = { id: 'a', created: 5, model: 'm' };
  expect(chat.emptyEvent?.(stream)).toBe(
    'data: {"id":"a","object":"chat.completion.chunk","created":5,"model":"m",' +
      '"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":null}]}\n\n',
  );
  expect(completions.emptyEvent?.(stream)).toContain('"object":"text_completion"');
  expect(completions.emptyEvent?.(stream)).toContain('"text":""');
});

test('an answer names its deployment', () => {
  expect(chat.headers).toEqual({ 'azureml-model-deployment': 'blue', 'azureml-model-session': 'blue' });
});
