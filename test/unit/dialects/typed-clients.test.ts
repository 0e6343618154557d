import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { toFailure, type Failure } from '../../../gateway/failure.ts';
import { createAzureInference } from '../../../gateway/dialects/azure/inference.ts';
import { azureOpenai, azureOpenaiCompletions, azureOpenaiResponses } from '../../../gateway/dialects/azure/openai.ts';
import type { Dialect } from '../../../gateway/dialects/dialect.ts';
import { createAzureScore } from '../../../gateway/dialects/score/score.ts';
import { openaiCompletions } from '../../../gateway/dialects/openai/completions.ts';
import { openaiResponses } from '../../../gateway/dialects/openai/responses.ts';
import { openaiTokenize } from '../../../gateway/dialects/openai/tokenize.ts';
import { openai } from '../../../gateway/dialects/openai/chat.ts';

const score = createAzureScore({ deploymentName: 'penstock' });
const inference = createAzureInference('penstock').chat;
const hi = { role: 'user', content: 'hi' };

/** Every route that reads OpenAI's messages. */
const ROUTES = [
  ['openai', (messages: unknown) => openai.parse({ messages })],
  ['azure_openai', (messages: unknown) => azureOpenai.parse({ messages })],
  ['azure_inference', (messages: unknown) => inference.parse({ messages })],
  ['azure_score', (messages: unknown) => score.parse({ input_data: { input_string: messages } })],
  ['tokenize', (messages: unknown) => openaiTokenize.parse({ messages })],
] as const;

function refusal(run: () => unknown): Failure {
  try {
    run();
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}

test.each(ROUTES)('E1: %s reads a refusal of an earlier turn as text', (_name, parse) => {
  const refused = [{ type: 'refusal', refusal: 'I cannot.' }];
  const { messages, ignored } = parse([hi, { role: 'assistant', content: refused }, hi]);
  expect(messages[1]).toEqual({ role: 'assistant', content: [{ type: 'text', text: 'I cannot.' }] });
  expect(ignored).toEqual([]);
});

test.each(ROUTES)('E1: %s reads a refusal beside an empty content as text', (_name, parse) => {
  const { messages, ignored } = parse([hi, { role: 'assistant', content: null, refusal: 'I cannot.' }, hi]);
  expect(messages[1]).toEqual({ role: 'assistant', content: 'I cannot.' });
  expect(ignored).toEqual([]);
});

test.each(ROUTES)('E1: %s refuses a refusal without text, or of another role', (_name, parse) => {
  const part = (role: string, refused: unknown) => [{ role, content: [{ type: 'refusal', refusal: refused }] }];
  expect(refusal(() => parse(part('assistant', 7))).message).toMatch(/\.refusal must be a text, got 7$/);
  expect(refusal(() => parse(part('assistant', '\ud800'))).message).toMatch(/\.refusal has half of a character/);
  expect(refusal(() => parse(part('user', 'no'))).message).toMatch(/\.type must be one of .*, got "refusal"/);
});

test('E1: /v1/responses reads a refusal of an earlier answer as text', () => {
  const content = [
    { type: 'output_text', text: 'No. ', annotations: [] },
    { type: 'refusal', refusal: 'I cannot.' },
  ];
  const said = { type: 'message', role: 'assistant', id: 'msg_1', status: 'completed', content };
  const { messages } = openaiResponses.parse({ input: [hi, said, hi] });
  expect(messages[1]).toEqual({ role: 'assistant', content: 'No. I cannot.' });
});

const EMPTY = [null, '', [], {}, undefined];
const REFUSED = [
  'priority',
  'cache_salt',
  'vllm_xargs',
  'guided_json',
  'kv_transfer_params',
  'mm_processor_kwargs',
  'chat_template',
  'chat_template_kwargs',
];

test.each([
  ['openai', openai, { messages: [hi] }, [...REFUSED, 'documents', 'audio', 'web_search_options', 'verbosity']],
  ['tokenize', openaiTokenize, { messages: [hi] }, REFUSED],
  ['completions', openaiCompletions, { prompt: 'hi' }, ['suffix', 'prompt_embeds', 'vllm_xargs', 'tools']],
  ['responses', openaiResponses, { input: 'hi' }, [...REFUSED, 'prompt', 'conversation', 'session_id', 'unheard_of']],
])('E2: %s: for a refused field, null, "", [] and {} count as absent', (_name, dialect, body, names) => {
  for (const name of names) {
    for (const value of EMPTY)
      expect([name, value, dialect.parse({ ...body, [name]: value }).sampling]).toEqual([
        name,
        value,
        dialect.parse(body).sampling,
      ]);
    expect([name, refusal(() => dialect.parse({ ...body, [name]: { a: 1 } })).code]).toEqual([
      name,
      'unsupported_parameter',
    ]);
  }
});

const inferenceCompletions = createAzureInference('penstock').completions;
const passed = (dialect: Dialect): Dialect => ({
  ...dialect,
  parse: (body) => dialect.parse(body, { headers: { 'extra-parameters': 'pass-through' } }),
});
const scored: Dialect = {
  ...score,
  parse: (body) => {
    const { messages, ...parameters } = z.looseObject({}).parse(body);
    return score.parse({ input_data: { input_string: messages, parameters } });
  },
};
const CHAT = { messages: [hi] };
const PROMPT = { prompt: 'hi' };
const INPUT = { input: 'hi' };
const CHATS = [openai, azureOpenai, passed(inference)];
const COMPLETIONS = [openaiCompletions, azureOpenaiCompletions, passed(inferenceCompletions)];
const RESPONSES = [openaiResponses, azureOpenaiResponses];

/** Empty fields: the engine's request is the same without them, and they are not listed. */
test.each([
  [{ response_format: { type: null } }, CHAT, [...CHATS, inference]],
  [{ response_format: {} }, CHAT, [...CHATS, inference]],
  [{ stop: '' }, CHAT, [...CHATS, inference, scored]],
  [{ stop: [] }, CHAT, [...CHATS, inference, scored]],
  [{ tool_choice: {} }, CHAT, [...CHATS, inference]],
  [{ tool_choice: '' }, CHAT, [...CHATS, inference]],
  [{ allowed_token_ids: [], bad_words: [], logit_bias: {} }, CHAT, CHATS],
  [{ logit_bias: { 5: null } }, CHAT, CHATS],
  [{ repetition_detection: { min_count: null } }, CHAT, CHATS],
  [{ function_call: 'none' }, CHAT, CHATS],
  [{ function_call: 'auto', functions: [] }, CHAT, CHATS],
  [{ priority: 0 }, CHAT, [...CHATS, openaiTokenize]],
  [{ stream_options: { include_usage: null } }, CHAT, CHATS],
  [{ response_format: {}, stop: '', priority: 0 }, PROMPT, COMPLETIONS],
  [{ allowed_token_ids: [], stream_options: { include_usage: null } }, PROMPT, COMPLETIONS],
  [{ text: { format: null, verbosity: null }, tool_choice: {} }, INPUT, RESPONSES],
  [{ reasoning: { effort: null }, stop: '', priority: 0 }, INPUT, RESPONSES],
  [{ stream_options: { include_obfuscation: null, include_usage: null } }, INPUT, RESPONSES],
  [{ messages: [] }, PROMPT, [openaiTokenize]],
  [{ prompt: '' }, CHAT, [openaiTokenize]],
] as const)('E2: %j says nothing, on every route', (fields, body, dialects) => {
  for (const dialect of dialects) expect(dialect.parse({ ...body, ...fields })).toEqual(dialect.parse(body));
});

const named = {
  name: 'a',
  schema: { type: 'object', default: null, properties: { b: { const: null, enum: [null] } } },
};
test.each([
  [
    { response_format: { type: 'text', json_schema: null } },
    { response_format: { type: 'text' } },
    CHAT,
    [...CHATS, inference],
  ],
  [
    { response_format: { type: 'json_schema', json_schema: { ...named, strict: null, extra: null }, format: null } },
    { response_format: { type: 'json_schema', json_schema: named } },
    CHAT,
    [...CHATS, inference],
  ],
  [
    { structured_outputs: { json: named.schema, choices: null } },
    { structured_outputs: { json: named.schema } },
    CHAT,
    CHATS,
  ],
  [
    { text: { format: { type: 'text', name: null, schema: null } } },
    { text: { format: { type: 'text' } } },
    INPUT,
    RESPONSES,
  ],
] as const)('E2: null inside %j counts as absent, except in the caller’s schema', (given, read, body, dialects) => {
  for (const dialect of dialects) expect(dialect.parse({ ...body, ...given }).sampling).toEqual(read);
});

test('E2: a field with a value is still refused', () => {
  for (const fields of [{ function_call: { name: 'f' } }, { priority: 1 }, { functions: [{ name: 'f' }] }])
    expect(refusal(() => openai.parse({ ...CHAT, ...fields })).code).toBe('unsupported_parameter');
  for (const fields of [
    { stop: [''] },
    { response_format: { type: 'x' } },
    { tool_choice: 'x' },
    { structured_outputs: {} },
    { structured_outputs: { json: null, regex: null } },
  ])
    expect(refusal(() => openai.parse({ ...CHAT, ...fields })).code).toBe('invalid_request');
  expect(refusal(() => openaiTokenize.parse({ ...CHAT, ...PROMPT })).message).toContain('not both');
});

test('E2: an empty uuid of a picture and empty fields of a response’s items count as absent', () => {
  const url = 'https://example.org/a.png';
  const picture = { type: 'image_url', image_url: { url, uuid: '' }, uuid: '' };
  expect(() => openai.parse({ messages: [{ role: 'user', content: [picture] }] })).not.toThrow();
  const item = { ...hi, internal: {}, tags: [], content: [{ type: 'input_text', text: 'hi', extra: '' }] };
  expect(() => openaiResponses.parse({ input: [item] })).not.toThrow();
});

test.each([
  'reasoning.encrypted_content',
  'web_search_call.action.sources',
  'web_search_call.results',
  'file_search_call.results',
  'code_interpreter_call.outputs',
  'computer_call_output.output.image_url',
])('E3: include %s has no effect, and is listed', (name) => {
  const alone = openaiResponses.parse({ input: 'hi', include: [name] });
  expect([alone.sampling, alone.ignored]).toEqual([{}, [`include.${name}`]]);
  const beside = openaiResponses.parse({ input: 'hi', include: [name, 'message.output_text.logprobs'] });
  expect(beside.sampling).toEqual({ include: ['message.output_text.logprobs'] });
});

test('E5: a response stream accepts the usage option of the other routes, and has its usage anyway', () => {
  const asked = openaiResponses.parse({ input: 'hi', stream: true, stream_options: { include_usage: true } });
  expect([asked.stream, asked.sampling]).toEqual([true, {}]);
});

test.each(['summary', 'generate_summary'])('E3: reasoning.%s has no effect, and is listed', (name) => {
  const alone = openaiResponses.parse({ input: 'hi', reasoning: { [name]: 'auto' } });
  expect([alone.sampling, alone.ignored]).toEqual([{}, [`reasoning.${name}`]]);
  const beside = openaiResponses.parse({ input: 'hi', reasoning: { [name]: 'concise', effort: 'low' } });
  expect(beside.sampling).toEqual({ reasoning: { effort: 'low' } });
});

test.each([{ type: 'item_reference', id: 'msg_1' }, { type: null, id: 'msg_1' }, { id: 'msg_1' }])(
  'E4: a reference to an item of an answer keeps its place: %j',
  (item) => {
    const { messages } = openaiResponses.parse({ input: [hi, item, hi] });
    expect(messages[1]).toEqual({ role: 'assistant', content: '', reference: 'msg_1', place: 'input[1].id' });
  },
);

test('E4: the refusal of a conversation says what to set', () => {
  const { message } = refusal(() => openaiResponses.parse({ input: 'hi', conversation: 'conv_1' }));
  expect(message).toContain('previous_response_id');
});

test('E5: /v1/responses: cache_control has no effect and is listed, as on a chat', () => {
  const cache_control = { type: 'ephemeral' };
  const item = { ...hi, cache_control, content: [{ type: 'input_text', text: 'hi', cache_control }] };
  const said = { role: 'assistant', content: [{ type: 'output_text', text: 'so', cache_control }] };
  expect(openaiResponses.parse({ input: [item, said, hi] }).ignored).toEqual([
    'input.cache_control',
    'content.cache_control',
  ]);
});
