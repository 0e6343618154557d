import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { FAILURES, Failure, rowOf, type FailureCode } from '../../../../gateway/failure.ts';
import { anthropicCount, anthropicMessages } from '../../../../gateway/dialects/anthropic/messages.ts';

const HI = { role: 'user', content: 'hi' };
const parse = (fields: object, of = anthropicMessages) => of.parse({ max_tokens: 9, messages: [HI], ...fields });
const use = { type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Oslo' } };
const tool = { name: 'weather', description: 'of a city', input_schema: { type: 'object' } };
const rendered = (message: object, ended: object) =>
  anthropicMessages.renderAnswer(
    Buffer.from(
      JSON.stringify({
        id: 'chatcmpl-1',
        model: 'm',
        choices: [{ index: 0, message: { role: 'assistant', ...message }, ...ended }],
        usage: { prompt_tokens: 7, completion_tokens: 3 },
      }),
    ),
    { modelMs: 1 },
  ).body;

test('tool calls and their results become separate messages, and errors name their place in the body', () => {
  const { messages } = parse({
    system: 'Be brief.',
    messages: [
      HI,
      { role: 'assistant', content: [{ type: 'text', text: 'I look. ' }, { type: 'text', text: 'Wait.' }, use] },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'call_1', content: [{ type: 'text', text: 'Rain.' }] },
          { type: 'text', text: 'And?' },
        ],
      },
    ],
  });
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } };
  expect(messages).toEqual([
    { role: 'system', content: 'Be brief.', place: 'system' },
    { ...HI, place: 'messages[0].content' },
    { role: 'assistant', content: 'I look. Wait.', extra: { tool_calls: [call] }, place: 'messages[1].content' },
    {
      role: 'tool',
      content: [{ type: 'text', text: 'Rain.' }],
      extra: { tool_call_id: 'call_1' },
      place: 'messages[2].content[0].content',
    },
    { role: 'user', content: [{ type: 'text', text: 'And?' }], place: 'messages[2].content' },
  ]);
});

test('tools and tool_choice are translated to the engine’s form', () => {
  const choice = { type: 'tool', name: 'weather', disable_parallel_tool_use: true };
  const { sampling } = parse({ tools: [tool], tool_choice: choice, stop_sequences: ['END'] });
  const wanted = { name: 'weather', description: 'of a city', parameters: { type: 'object' } };
  expect(sampling).toEqual({
    tools: [{ type: 'function', function: wanted }],
    tool_choice: { type: 'function', function: { name: 'weather' } },
    parallel_tool_calls: false,
    stop: ['END'],
  });
  expect(parse({ tools: [tool], tool_choice: { type: 'any' } }).sampling).toMatchObject({ tool_choice: 'required' });
  expect(() => parse({ tools: [{ ...tool, name: 'x'.repeat(65) }] })).toThrow(/^tools\[0\]\.name has 65 characters/);
  expect(() => parse({ tool_choice: { type: 'any' } })).toThrow('tool_choice requires a call');
});

test('a last message of the assistant is continued, and its tokens are counted that way too', () => {
  const begun = { messages: [HI, { role: 'assistant', content: [{ type: 'text', text: 'Well,' }] }] };
  const goesOn = { add_generation_prompt: false, continue_final_message: true };
  expect(parse(begun).sampling).toEqual(goesOn);
  expect(parse(begun, anthropicCount)).toMatchObject({ route: '/tokenize', sampling: goesOn, stream: false });
  expect(parse({}).sampling).toEqual({});
});

test('an answer with calls becomes a message with tool blocks; arguments that are invalid JSON are a failure', () => {
  const calls = (text: string) => [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: text } }];
  const body = rendered({ content: 'I look.', tool_calls: calls('{"city":"Oslo"}') }, { finish_reason: 'tool_calls' });
  expect(JSON.parse(String(body))).toEqual({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [{ type: 'text', text: 'I look.' }, use],
    stop_reason: 'tool_use',
    stop_sequence: null,
    usage: { input_tokens: 7, output_tokens: 3 },
  });
  expect(() => rendered({ tool_calls: calls('{"city":') }, { finish_reason: 'tool_calls' })).toThrow('cannot be read');
  const empty = rendered({ content: null }, { finish_reason: 'stop', stop_reason: 32_007 });
  expect(JSON.parse(String(empty))).toMatchObject({ content: [], stop_reason: 'end_turn', stop_sequence: null });
});

const Told = z.object({ error: z.object({ type: z.string(), code: z.string() }) });
const codes = Object.keys(FAILURES).filter((code): code is FailureCode => Object.hasOwn(FAILURES, code));
test('each failure has a type of this API, its code, and says whether to retry', () => {
  const types = new Map<number, string>();
  for (const code of codes) {
    const { status, headers, body } = anthropicMessages.renderFailure(new Failure(code, 'why'), 'id');
    const { error } = Told.parse(JSON.parse(String(body)));
    expect([error.code, JSON.parse(String(body))]).toMatchObject([code, { type: 'error', request_id: 'id' }]);
    types.set(status, error.type);
    const again = headers['retry-after'] === undefined ? headers['x-should-retry'] : 'after a while';
    const { retry } = rowOf(code);
    expect(again).toBe(typeof retry === 'number' ? 'after a while' : String(retry === 'as_sent'));
  }
  expect(Object.fromEntries(types)).toMatchObject({
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
    500: 'api_error',
    502: 'api_error',
    503: 'overloaded_error',
    504: 'timeout_error',
  });
});
