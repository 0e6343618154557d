import { expect, test } from '@jest/globals';
import { toFailure, type Failure } from '../../../../gateway/failure.ts';
import { openaiResponses } from '../../../../gateway/dialects/openai/responses.ts';
import { engineBody } from '../../../../gateway/request/engine-body.ts';
import { PictureBytes } from '../../../../gateway/intake/picture-bytes.ts';

const parse = (fields: object) => openaiResponses.parse({ input: 'hi', ...fields });
const toEngine = (fields: object): unknown =>
  JSON.parse(engineBody(parse(fields), new PictureBytes(), { model: 'm', maxTokens: 9, cacheSalt: 'oslo' }).join(''));
function refused(fields: object): Failure {
  try {
    parse(fields);
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}
const OURS = { model: 'm', max_output_tokens: 9, cache_salt: 'oslo', store: false, stream: false };

test('a text becomes one message; the engine’s request has store: false', () => {
  expect(toEngine({})).toEqual({ ...OURS, input: [{ type: 'message', role: 'user', content: 'hi' }] });
});

test('every accepted field is in the engine’s request', () => {
  const fields = {
    instructions: 'Answer in French',
    temperature: 0.5,
    top_p: 0.9,
    top_k: 4,
    seed: 7,
    stop: ['x'],
    ignore_eos: true,
    logit_bias: { '5': 1 },
    text: { format: { type: 'json_schema', name: 'a', schema: { type: 'object' }, strict: true }, verbosity: 'medium' },
    reasoning: { effort: 'low' },
    include: ['message.output_text.logprobs'],
    top_logprobs: 3,
    truncation: 'disabled',
    service_tier: 'auto',
    tool_choice: 'none',
    parallel_tool_calls: false,
    max_tool_calls: 2,
    metadata: { team: 'a' },
    user: 'u',
    safety_identifier: 's',
    prompt_cache_key: 'k',
  };
  expect(toEngine(fields)).toMatchObject({ ...fields, ...OURS });
  expect(parse(fields).ignored).toEqual([]);
});

const NOT_SAID = { background: false, store: null, metadata: {}, previous_response_id: null };
test.each([
  [{}, {}],
  [{ background: false, store: false }, { store: false }],
  [{ background: true }, { background: true }],
  [
    { store: true, metadata: { a: 'b' } },
    { store: true, metadata: { a: 'b' } },
  ],
  [{ previous_response_id: 'resp_1' }, { previous_response_id: 'resp_1' }],
])('%j says %j about keeping the answer, and no engine keeps it', (fields, said) => {
  expect(parse(fields).keeping).toEqual({ ...NOT_SAID, ...said });
  expect(toEngine(fields)).toMatchObject({ store: false });
  for (const name of ['background', 'previous_response_id']) expect(toEngine(fields)).not.toHaveProperty(name);
});

test('every optional field that is null, and an empty list of tools, counts as absent', () => {
  const names = [
    'previous_response_id',
    'conversation',
    'store',
    'tools',
    'tool_choice',
    'text',
    'include',
    'reasoning',
  ];
  const nulls = Object.fromEntries(
    [...names, 'stream', 'max_output_tokens', 'prompt', 'anything'].map((n) => [n, null]),
  );
  expect(parse(nulls)).toEqual(parse({}));
  expect(parse({ tools: [], tool_choice: 'auto' }).sampling).toEqual({ tool_choice: 'auto' });
});

test.each([
  ['previous_response_id', 7],
  ['conversation', { id: 'conv_1' }],
  ['prompt', { id: 'pmpt_1' }],
  ['context_management', [{ type: 'compaction' }]],
  ['truncation', 'auto'],
  ['include', ['message.input_image.image_url']],
  ['tools', [{ type: 'web_search' }]],
  ['tool_choice', 'required'],
  ['reasoning', { effort: 'low', summary: 'all' }],
  ['text', { verbosity: 'low' }],
  ['reasoning', { effort: 'low', context: 'all' }],
  ['text', { a_field_of_next_year: 1 }],
  ['text', { format: { type: 'text', name: 'a' } }],
  ['stream_options', { include_obfuscation: true }],
  ['top_logprobs', 3],
  ['n', 2],
  ['max_tokens', 5],
  ['messages', [{ role: 'user', content: 'hi' }]],
  ['cache_salt', 'mine'],
  ['priority', 1],
  ['mm_processor_kwargs', { num_crops: 4 }],
  ['moderation', { a: 1 }],
  ['a_field_of_next_year', 1],
])('%s as %j would be ignored: refused by name', (name, value) => {
  const failure = refused({ [name]: value });
  expect(failure.status).toBe(400);
  expect(failure.options.param?.split(/[.[]/)[0]).toBe(name);
  expect(failure.message).toContain(name);
});

test.each([
  [undefined, 'input'],
  [[], 'input'],
  [7, 'input'],
  [['hi'], 'input[0]'],
  [[{ role: 'robot', content: 'hi' }], 'input[0].role'],
  [[{ role: 'user' }], 'input[0].content'],
  [[{ type: 'function_call_output', call_id: 'c', output: '4' }], 'input[0].type'],
  [[{ type: 'item_reference', id: 7 }], 'input[0].id'],
  [[{ type: 'item_reference', id: 'msg_1', content: 'hi' }], 'input[0].content'],
  [[{ role: 'user', content: 'hi', name: 'bob' }], 'input[0].name'],
  [[{ role: 'user', content: [{ type: 'text', text: 'hi' }] }], 'input[0].content[0].type'],
  [[{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }], 'input[0].content[0].type'],
  [[{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }], 'input[0].content[0].file_id'],
  [[{ role: 'user', content: [{ type: 'input_image', image_url: { url: 'x' } }] }], 'input[0].content[0].image_url'],
  [
    [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'He', status: 'incomplete' },
    ],
    'input[1].status',
  ],
])('input as %j: the refusal names the wrong field', (input, param) => {
  expect(refused({ input }).options.param).toBe(param);
});

test('an earlier answer in the input becomes one text; pictures keep their detail', () => {
  const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'low' };
  const said = [
    { type: 'output_text', text: 'A', annotations: [], logprobs: [] },
    { type: 'output_text', text: 'B', annotations: [] },
  ];
  const input = [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', content: [image, { type: 'input_text', text: 'And?' }] },
    { id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: said },
    { role: 'user', content: 'Go on' },
  ];
  expect(toEngine({ input })).toMatchObject({
    input: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [image, { type: 'input_text', text: 'And?' }] },
      { role: 'assistant', content: 'AB' },
      { role: 'user', content: 'Go on' },
    ],
  });
});
