import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { FAILURES, Failure, toFailure } from '../../../../gateway/failure.ts';
import type { FailureCode } from '../../../../gateway/failure.ts';
import type { ModelCard } from '../../../../gateway/contract/model-card.ts';
import { createAzureScore } from '../../../../gateway/dialects/score/score.ts';
import { phi3Card } from '../../../support/phi3-card.ts';

const score = createAzureScore({ deploymentName: 'blue' });
const card = phi3Card();
const hi = { role: 'user', content: 'hi' };
const withParameters = (parameters: unknown) => score.parse({ input_data: { input_string: [hi], parameters } });

function refusal(body: unknown): Failure {
  try {
    score.parse(body, { headers: {}, card });
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}

test('the model card’s own request', () => {
  const sample: unknown = JSON.parse(readFileSync('test/fixtures/card/sample-request.json', 'utf8'));
  const parsed = score.parse(sample);
  expect(parsed).toMatchObject({
    stream: false,
    maxTokens: 2048,
    sampling: { temperature: 0.7 },
    choices: 1,
    ignored: [],
  });
  expect(parsed.maxTokensParam).toBe('input_data.parameters.max_new_tokens');
  expect(parsed.messages[0]?.content).toHaveLength(2);
  expect(parsed.model).toBeUndefined();
});

test('parameters may be absent, null or empty; in the wrong place they have no effect', () => {
  const plain = withParameters({});
  expect(withParameters(null)).toEqual(plain);
  expect(score.parse({ input_data: { input_string: [hi] } })).toEqual(plain);
  const outer = score.parse({ input_data: { input_string: [hi] }, parameters: { max_new_tokens: 8 } });
  expect(outer).toEqual({ ...plain, ignored: ['parameters'] });
});

test.each([
  [{ max_new_tokens: 8, max_tokens: 9 }, 8, 'max_new_tokens'],
  [{ max_gen_len: 7, max_tokens: 9 }, 7, 'max_gen_len'],
  [{ max_tokens: 9 }, 9, 'max_tokens'],
])('answer length from %j is %i', (parameters, tokens, name) => {
  expect(withParameters(parameters)).toMatchObject({
    maxTokens: tokens,
    maxTokensParam: `input_data.parameters.${name}`,
  });
});

test.each([
  [{ do_sample: false, temperature: 0.7 }, { temperature: 0 }],
  [{ do_sample: true, temperature: 0.7 }, { temperature: 0.7 }],
  [{ use_beam_search: true }, { use_beam_search: true, temperature: 0 }],
  [{ eos_token_id: 32007 }, { stop_token_ids: [32007] }],
  [{ eos_token_id: [1, 2] }, { stop_token_ids: [1, 2] }],
  [
    { top_p: 0.9, top_k: 5, stop: 'x', ignore_eos: true },
    { top_p: 0.9, top_k: 5, stop: 'x', ignore_eos: true },
  ],
])('parameters %j reach the engine as %j', (parameters, sampling) => {
  expect(withParameters(parameters)).toMatchObject({ sampling, ignored: [] });
  expect(Object.keys(withParameters(parameters).sampling)).toHaveLength(Object.keys(sampling).length);
});

test('fields that Azure’s container drops are dropped and listed; there is never a stream', () => {
  const parsed = withParameters({
    seed: 1,
    stream: true,
    return_full_text: true,
    _batch_size: 4,
    early_stopping: true,
  });
  expect(parsed).toMatchObject({ stream: false, sampling: {} });
  expect(parsed.ignored).toEqual(
    ['seed', 'stream', 'return_full_text', '_batch_size', 'early_stopping'].map((n) => `parameters.${n}`),
  );
});

test.each([
  ['top_p', 0],
  ['temperature', 'hot'],
  ['max_new_tokens', -1],
  ['n', 0],
  ['do_sample', 'no'],
  ['best_of', 2],
])('a bad %s is named as the caller wrote it', (name, value) => {
  const param = `input_data.parameters.${name}`;
  expect(refusal({ input_data: { input_string: [hi], parameters: { [name]: value } } })).toMatchObject({
    code: 'invalid_request',
    options: { param },
  });
});

test.each([
  ['older MLflow', { inputs: { input_string: [hi] }, parameters: { max_new_tokens: 8 } }, 'input_data'],
  ['an OpenAI body', { messages: [hi] }, 'input_data'],
  ['input_data as text', { input_data: '{"input_string":[]}' }, 'input_data'],
  ['a list of prompts', { input_data: ['p1', 'p2'], params: {} }, 'input_data'],
  ['prompts, not messages', { input_data: { input_string: ['p1', 'p2'] } }, 'input_data.input_string'],
  ['a pandas table', { input_data: { columns: ['a'], index: [0], data: [['x']] } }, 'input_data.input_string'],
  ['one text', { input_data: { input_string: 'hi' } }, 'input_data.input_string'],
  ['one conversation in a list', { input_data: { input_string: [[hi]] } }, 'input_data.input_string'],
  ['parameters as a list', { input_data: { input_string: [hi], parameters: [] } }, 'input_data.parameters'],
  ['a list as body', [hi], undefined],
])('%s: refused with the expected shape', (_name, body, param) => {
  const failure = refusal(body);
  expect(failure).toMatchObject({ code: 'invalid_request', status: 400 });
  expect(failure.options.param).toBe(param);
  expect(failure.message).toContain('input_data.input_string');
});

test('several conversations in one request are a batch, refused in the card’s name', () => {
  expect(refusal({ input_data: { input_string: [[hi], [hi], [hi]] } })).toMatchObject({
    code: 'batch_not_supported',
    message:
      'Phi-3-vision-128k-instruct takes 1 conversation per request; input_data.input_string holds 3: send each in a request of its own',
    options: { param: 'input_data.input_string', asked: 3, allowed: 1, card: 'Phi-3-vision-128k-instruct' },
  });
});

test.each([
  [' There are three boats.\n', '{"output":" There are three boats.\\n"}'],
  [null, '{"output":""}'],
])('the answer %j is returned untrimmed', (content, body) => {
  const engine = Buffer.from(
    JSON.stringify({ id: 'x', choices: [{ index: 0, message: { role: 'assistant', content } }] }),
  );
  expect(score.renderAnswer(engine, { modelMs: 12.4 })).toEqual({
    status: 200,
    headers: { 'content-type': 'application/json', 'ms-azureml-model-time': '12' },
    body,
  });
});

test('an engine answer that cannot be read is the engine’s failure, not the caller’s', () => {
  for (const bytes of ['', '{}', '{"choices":[]}'])
    expect(() => score.renderAnswer(Buffer.from(bytes), { modelMs: 1 })).toThrow('cannot be read');
});

const render = (code: FailureCode, options = {}) => score.renderFailure(new Failure(code, 'why', options));

test.each([
  ['too_many_images', 400],
  ['model_not_found', 404],
  ['body_too_large', 413],
  ['unsupported_media_type', 415],
  ['internal', 500],
  ['worker_lost', 502],
  ['engine_silent', 504],
] as const)('%s: what Azure’s container would say, wrapped into 424 with the status %i beside it', (code, status) => {
  const { status: outer, headers, body } = render(code, { param: 'input_data.input_string[0].content[1]' });
  expect(outer).toBe(424);
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'ms-azureml-model-error-statuscode': String(status),
    'ms-azureml-model-error-reason': 'model_error',
    'x-ms-error-code': code,
  });
  const parsed: unknown = JSON.parse(String(body));
  expect(parsed).toMatchObject({
    error: { code, message: 'why', param: 'input_data.input_string[0].content[1]', status, details: [] },
    detail: [{ type: 'value_error', loc: ['body', 'input_data', 'input_string', 0, 'content', 1], msg: 'why' }],
  });
});

test('an unknown key: the same plain text as Azure’s endpoint', () => {
  const { status, headers, body } = render('unauthorized');
  expect([status, headers['content-type'], body]).toEqual([401, 'text/plain', 'key_auth_access_denied']);
  expect(headers).toMatchObject({ 'x-ms-error-code': 'unauthorized' });
  expect(headers['ms-azureml-model-error-statuscode']).toBeUndefined();
});

test.each([
  ['forbidden', 403, undefined],
  ['deadline_exceeded', 408, undefined],
  ['no_engine', 503, '10'],
  ['shutting_down', 503, '1'],
] as const)('%s: the endpoint’s own answer %i', (code, status, after) => {
  const rendered = render(code);
  expect(rendered.status).toBe(status);
  expect(rendered.headers['ms-azureml-model-error-statuscode']).toBeUndefined();
  expect(rendered.headers['retry-after']).toBe(after);
  expect(JSON.parse(String(rendered.body))).toMatchObject({ error: { code, status, message: 'why' } });
});

test('too many requests: an empty text, the reason in a header', () => {
  expect(render('queue_full', { retryAfterMs: 5_000 })).toMatchObject({
    status: 429,
    headers: {
      'content-type': 'text/plain',
      'ms-azureml-model-error-reason': 'too_many_pending_request',
      'retry-after': '5',
    },
    body: '',
  });
});

const base: ModelCard = {
  ...card,
  name: 'Base',
  task: 'text-generation',
  modalities: { input: ['text'], output: ['text'] },
};
const asBase = (body: unknown) => score.parse(body, { headers: {}, card: base });

test.each([
  [
    'in input_string',
    { input_data: { input_string: ['p1', 'p2'], parameters: { max_new_tokens: 8, top_k: 5, _batch_size: 2 } } },
    { answerForm: 'table', messagesParam: 'input_data.input_string' },
    'input_data.parameters.max_new_tokens',
  ],
  [
    'as input_data itself',
    { input_data: ['p1', 'p2'], params: { max_new_tokens: 8, top_k: 5, _batch_size: 2 } },
    { answerForm: 'list', messagesParam: 'input_data' },
    'params.max_new_tokens',
  ],
])(
  'prompts for a text-generation model, %s: each is continued and returned with the prompt in front',
  (_how, body, form, param) => {
    const parsed = asBase(body);
    expect(parsed).toMatchObject({ ...form, prompts: ['p1', 'p2'], messages: [], stream: false, choices: 1 });
    expect(parsed).toMatchObject({ maxTokens: 8, maxTokensParam: param, sampling: { echo: true, top_k: 5 } });
    expect(parsed.ignored).toEqual(['parameters._batch_size']);
  },
);

test('without return_full_text the prompt is left out', () => {
  const withFull = (full: unknown) =>
    asBase({ input_data: { input_string: ['p'], parameters: { return_full_text: full } } }).sampling;
  expect([withFull(false), withFull(true), withFull(null)]).toEqual([{ echo: false }, { echo: true }, { echo: true }]);
  expect(() => withFull('no')).toThrow('return_full_text must be true or false');
});

test('only one answer per prompt is requested, because only the first is returned', () => {
  const parsed = asBase({ input_data: { input_string: ['p'], parameters: { n: 3 } } });
  expect(parsed).toMatchObject({ choices: 1, ignored: ['parameters.n'] });
});

test.each([
  ['messages', { input_data: { input_string: [hi] } }, 'input_data.input_string[0]'],
  ['no prompt', { input_data: { input_string: [] } }, 'input_data.input_string'],
  ['an empty prompt', { input_data: ['a', ''] }, 'input_data[1]'],
  ['one text', { input_data: { input_string: 'p' } }, 'input_data.input_string'],
  ['token ids', { input_data: [[1, 2]] }, 'input_data[0]'],
  ['parameters as a list', { input_data: ['a'], params: [] }, 'params'],
  ['an OpenAI body', { messages: [hi] }, 'input_data'],
])('%s for a text-generation model: refused with the expected shape', (_what, body, param) => {
  expect(() => asBase(body)).toThrow(/input_data\.input_string as in \{"input_data": \{"input_string": \["…"\]/);
  try {
    asBase(body);
  } catch (error) {
    expect(toFailure(error)).toMatchObject({ code: 'invalid_request', options: { param } });
  }
});

test('the answers are in the order of the prompts, as the container writes them', () => {
  const choices = [
    { index: 1, text: 'p2 b', finish_reason: 'stop' },
    { index: 0, text: 'p1 a', finish_reason: 'stop' },
  ];
  const engine = Buffer.from(JSON.stringify({ choices }));
  const written = (form: 'table' | 'list') => String(score.renderAnswer(engine, { modelMs: 1, form }).body);
  expect(JSON.parse(written('table'))).toEqual([{ 0: 'p1 a', 1: 'p2 b' }]);
  expect(JSON.parse(written('list'))).toEqual(['p1 a', 'p2 b']);
});

test('add_generation_prompt: false reaches only a chat model without pictures; otherwise it is listed as ignored', () => {
  const parameters = { add_generation_prompt: false };
  const body = { input_data: { input_string: [hi], parameters } };
  const text = { ...base, task: 'chat-completion' } as const;
  expect(score.parse(body, { headers: {}, card: text }).sampling).toEqual(parameters);
  expect(score.parse(body, { headers: {}, card })).toMatchObject({
    sampling: {},
    ignored: ['parameters.add_generation_prompt'],
  });
});

test('an unknown deployment: the same 404 as Azure’s endpoint', () => {
  const { status, headers } = render('deployment_not_found');
  expect([status, headers['ms-azureml-model-error-statuscode']]).toEqual([404, undefined]);
});

test('strict-compat: an empty 200 if Azure’s container hid the failure, else the usual answer', () => {
  const strict = createAzureScore({ deploymentName: 'blue', errors: 'strict-compat' });
  const hidden = ['invalid_request', 'too_many_images', 'invalid_image', 'engine_refused', 'worker_lost', 'internal'];
  for (const code of Object.keys(FAILURES).filter((name): name is FailureCode => name in FAILURES)) {
    const failure = new Failure(code, 'why');
    const { status, headers, body } = strict.renderFailure(failure);
    expect(String(body)).not.toContain('None');
    if (status === 200) expect([body, headers['x-ms-error-code']]).toEqual(['{}', code]);
    else expect(strict.renderFailure(failure)).toEqual(score.renderFailure(failure));
    if (hidden.includes(code)) expect(status).toBe(200);
  }
  const told = ['invalid_json', 'unauthorized', 'forbidden', 'deadline_exceeded', 'queue_full', 'no_engine'] as const;
  for (const code of told) expect(strict.renderFailure(new Failure(code, '')).status).not.toBe(200);
});
