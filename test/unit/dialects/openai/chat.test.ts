import { expect, test } from '@jest/globals';
import { Failure, toFailure } from '../../../../gateway/failure.ts';
import { openai } from '../../../../gateway/dialects/openai/chat.ts';

const hi = { role: 'user', content: 'hi' };
const parse = (fields: object) => openai.parse({ messages: [hi], ...fields });

function refusal(body: unknown): Failure {
  try {
    openai.parse(body);
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}
const refused = (fields: object) => refusal({ messages: [hi], ...fields });

test('a plain request: model, messages, nothing else set', () => {
  expect(parse({ model: 'azureai' })).toEqual({
    model: 'azureai',
    messages: [hi],
    stream: false,
    includeUsage: false,
    maxTokensParam: 'max_tokens',
    messagesParam: 'messages',
    choices: 1,
    sampling: {},
    ignored: [],
  });
});

test('every optional field that is null, and an empty list of tools, counts as absent', () => {
  const names = [
    'model',
    'stream',
    'stream_options',
    'n',
    'max_tokens',
    'max_completion_tokens',
    'temperature',
    'stop',
  ];
  const nulls = Object.fromEntries(
    [...names, 'seed', 'tools', 'tool_choice', 'user', 'priority'].map((n) => [n, null]),
  );
  expect(parse(nulls)).toEqual(parse({}));
  expect(parse({ tools: [], tool_choice: 'auto' })).toEqual(parse({}));
  expect(parse({ tools: null, tool_choice: 'none', parallel_tool_calls: true })).toEqual(parse({}));
  expect(parse({ functions: [], stream_options: {} })).toEqual(parse({}));
});

test('a required call without any tool names tool_choice', () => {
  expect(refused({ tools: [], tool_choice: 'required' }).options.param).toBe('tool_choice');
  expect(refused({ tool_choice: { type: 'function', function: { name: 'paint' } } }).options.param).toBe('tool_choice');
});

test('tools reach the engine unchanged; a malformed one is named', () => {
  const tools = [{ type: 'function', function: { name: 'paint', parameters: { type: 'object' } } }];
  expect(parse({ tools, tool_choice: 'auto', parallel_tool_calls: false }).sampling).toEqual({
    tools,
    tool_choice: 'auto',
    parallel_tool_calls: false,
  });
  expect(refused({ tools: [{ type: 'function', function: {} }] }).options.param).toBe('tools[0].function.name');
});

test.each([
  [true, true],
  ['True', true],
  ['true', true],
  ['False', false],
  [false, false],
])('stream %j, as Azure samples send it, means %j', (stream, meant) => {
  expect(parse({ stream }).stream).toBe(meant);
});

test('usage of a stream: requested, declined, not mentioned, and requested without a stream', () => {
  const ask = (stream_options: object | null) => parse({ stream: true, stream_options }).includeUsage;
  expect([ask({ include_usage: true }), ask({ include_usage: false }), ask({}), ask(null)]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(refused({ stream_options: { include_usage: true } }).options.param).toBe('stream_options');
});

test.each([
  [{ max_tokens: 5, max_completion_tokens: 9 }, 9, 'max_completion_tokens'],
  [{ max_tokens: 5, max_new_tokens: 9 }, 5, 'max_tokens'],
  [{ max_new_tokens: 7, max_tokens: null }, 7, 'max_new_tokens'],
  [{}, undefined, 'max_tokens'],
])('the answer length from %j is %j, set by %s', (fields, maxTokens, maxTokensParam) => {
  expect(parse(fields).maxTokens).toBe(maxTokens);
  expect(parse(fields).maxTokensParam).toBe(maxTokensParam);
});

test('every sampling field of the engine is passed on unchanged', () => {
  const sampling = {
    temperature: 0,
    top_p: 1,
    top_k: -1,
    min_p: 0.1,
    presence_penalty: -2,
    frequency_penalty: 2,
    repetition_penalty: 1.1,
    seed: -5,
    stop: ['a', 'b'],
    stop_token_ids: [32007],
    ignore_eos: true,
    min_tokens: 2,
    logprobs: true,
    top_logprobs: 20,
    logit_bias: { '12': -100 },
    skip_special_tokens: false,
    spaces_between_special_tokens: true,
    include_stop_str_in_output: true,
    bad_words: ['x'],
    allowed_token_ids: [1],
    response_format: { type: 'json_schema', json_schema: { name: 's', schema: { type: 'object' }, strict: true } },
    structured_outputs: { choice: ['a'] },
    reasoning_effort: 'low',
    echo: false,
    add_generation_prompt: false,
    continue_final_message: true,
    return_token_ids: true,
    length_penalty: 1,
    use_beam_search: false,
  };
  expect(parse(sampling)).toMatchObject({ sampling, choices: 1, ignored: [] });
});

test('several answers at temperature 0 would be the same answer: refused by name', () => {
  expect(parse({ n: 3, temperature: 0.1 })).toMatchObject({ choices: 3 });
  expect(refused({ n: 3, temperature: 0 })).toMatchObject({
    code: 'invalid_request',
    message: 'n must be 1 at temperature 0, got 3',
    options: { param: 'n' },
  });
});

test.each([
  ['temperature', 'hot', 'temperature must be a number from 0 to 2, got "hot"'],
  ['temperature', 3, 'temperature must be a number from 0 to 2, got 3'],
  ['top_p', 0, 'top_p must be a number above 0 and up to 1, got 0'],
  ['top_k', 1.5, 'top_k must be a whole number, -1 or more, got 1.5'],
  ['presence_penalty', 9, 'presence_penalty must be a number from -2 to 2, got 9'],
  ['stop', 5, 'stop must be a text or a list of texts, none of them empty, got 5'],
  ['logprobs', 3, 'logprobs must be true or false, got 3'],
  ['max_tokens', 0, 'max_tokens must be a whole number, 1 or more, got 0'],
  ['max_tokens', 1.5, 'max_tokens must be a whole number, 1 or more, got 1.5'],
  ['n', 0, 'n must be a whole number, 1 or more, got 0'],
  ['stream', 'yes', 'stream must be true or false, got "yes"'],
  ['model', 7, 'model must be the name of a model, got 7'],
  ['min_tokens', -1, 'min_tokens must be a whole number, 0 or more, got -1'],
])('%s as %j is refused by name', (param, value, message) => {
  expect(refused({ [param]: value })).toMatchObject({
    code: 'invalid_request',
    status: 400,
    message,
    options: { param },
  });
});

test.each([
  [{ top_logprobs: 50, logprobs: true }, 'top_logprobs'],
  [{ top_logprobs: 2 }, 'top_logprobs'],
  [{ stop: [''] }, 'stop'],
  [{ logit_bias: { dog: 1 } }, 'logit_bias.dog'],
  [{ logit_bias: { '5': 101 } }, 'logit_bias.5'],
  [{ response_format: { type: 'xml' } }, 'response_format.type'],
  [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema'],
  [{ stream: true, stream_options: { include_usage: 1 } }, 'stream_options.include_usage'],
])('%j: the refusal names the wrong field', (fields, param) => {
  const failure = refused(fields);
  expect(failure.code).toBe('invalid_request');
  expect(failure.options.param?.startsWith(param.split(/[.[]/)[0] ?? '')).toBe(true);
});

test.each([
  'priority',
  'request_id',
  'truncate_prompt_tokens',
  'mm_processor_kwargs',
  'chat_template',
  'chat_template_kwargs',
  'cache_salt',
  'kv_transfer_params',
  'media_io_kwargs',
  'vllm_xargs',
])('%s cannot be set by a client', (param) => {
  expect(refused({ [param]: 'x' })).toMatchObject({ code: 'unsupported_parameter', status: 400, options: { param } });
});

test('fields without effect are accepted and listed, with names that fit a header', () => {
  const parsed = parse({ user: 'u', metadata: { a: 'b' }, service_tier: 'auto', 'we\r\nird': 1, store: false });
  expect(parsed.ignored).toEqual(['user', 'metadata', 'we%0D%0Aird', 'store']);
});

test('verbosity and modalities: supported values are accepted, others are refused by name', () => {
  expect(parse({ modalities: ['text'], verbosity: 'medium' })).toEqual(parse({}));
  for (const fields of [
    { verbosity: 'low' },
    { modalities: ['text', 'audio'] },
    { web_search_options: { search_context_size: 'low' } },
  ])
    expect(refused(fields)).toMatchObject({
      code: 'unsupported_parameter',
      options: { param: Object.keys(fields)[0] },
    });
});

test('deeply nested JSON is refused without a stack overflow', () => {
  const deep: unknown = JSON.parse('{"a":'.repeat(5_000) + '1' + '}'.repeat(5_000));
  expect(refused({ structured_outputs: deep }).options.param).toBe('structured_outputs');
});

test('failures have the form and the headers that OpenAI’s clients read', () => {
  const limits = { param: 'messages[0].content[1]', asked: 2, allowed: 1, card: 'Phi-3-vision-128k-instruct' };
  const rendered = openai.renderFailure(new Failure('too_many_images', 'one image', limits));
  expect(rendered.status).toBe(400);
  expect(rendered.headers).toEqual({ 'content-type': 'application/json', 'x-should-retry': 'false' });
  expect(JSON.parse(String(rendered.body))).toEqual({
    error: { message: 'one image', type: 'invalid_request_error', code: 'too_many_images', ...limits },
  });
});

test.each([
  ['unauthorized', 401, 'authentication_error', { 'x-should-retry': 'false' }],
  ['forbidden', 403, 'permission_error', { 'x-should-retry': 'false' }],
  ['model_not_found', 404, 'invalid_request_error', { 'x-should-retry': 'false' }],
  ['queue_full', 429, 'rate_limit_error', { 'retry-after': '3', 'retry-after-ms': '2100' }],
  ['no_engine', 503, 'server_error', { 'retry-after': '3', 'retry-after-ms': '2100' }],
  ['worker_lost', 502, 'server_error', { 'x-should-retry': 'false' }],
  ['engine_failed', 502, 'server_error', { 'x-should-retry': 'false' }],
  ['engine_silent', 504, 'server_error', { 'x-should-retry': 'false' }],
  ['deadline_exceeded', 504, 'server_error', { 'x-should-retry': 'false' }],
] as const)('%s is answered with %i %s', (code, status, type, headers) => {
  const rendered = openai.renderFailure(new Failure(code, 'm', { retryAfterMs: 2_100 }));
  expect(rendered.status).toBe(status);
  expect(rendered.headers).toEqual({ 'content-type': 'application/json', ...headers });
  expect(JSON.parse(String(rendered.body))).toEqual({ error: { message: 'm', type, param: null, code } });
});

test('Retry-After is between 1 and 60 whole seconds, beside the exact milliseconds', () => {
  const after = (retryAfterMs: number | 'never') => {
    const { headers } = openai.renderFailure(new Failure('queue_full', 'm', { retryAfterMs }));
    return [headers['retry-after'], headers['retry-after-ms'], headers['x-should-retry']];
  };
  expect(after(0)).toEqual(['1', '1', undefined]);
  expect(after(3_200.4)).toEqual(['4', '3201', undefined]);
  expect(after(9_999_999)).toEqual(['60', '60000', undefined]);
  expect(after('never')).toEqual([undefined, undefined, 'false']);
});

test('a refusal says for programs what refused it', () => {
  const { headers } = openai.renderFailure(new Failure('queue_full', 'm', { refusal: 'queue_full; booked' }));
  expect(headers['x-penstock-refusal']).toBe('queue_full; booked');
});

test('the engine’s answer is passed on byte for byte, its refusal with its own status', () => {
  const bytes = Buffer.from('{"id": "x" }');
  expect(openai.renderAnswer(bytes, { modelMs: 1 })).toEqual({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: bytes,
  });
  expect(openai.renderFailure(new Failure('engine_refused', 'no', { status: 422 })).status).toBe(422);
});

test('a failed stream ends with one error event', () => {
  const event = openai.renderStreamFailure(new Failure('worker_lost', 'the model process ended'));
  expect(event).toBe(
    'data: {"error":{"message":"the model process ended","type":"server_error","param":null,"code":"worker_lost"}}\n\n',
  );
});
