import { expect, test } from '@jest/globals';
import type { ChatMessage, ChatRequest } from '../../../gateway/request/chat.ts';
import { promptTexts } from '../../../gateway/safety/prompt-content.ts';

const textsOf = (messages: readonly ChatMessage[], sampling: ChatRequest['sampling'] = {}): string[] =>
  promptTexts({
    messages,
    stream: false,
    includeUsage: false,
    maxTokensParam: 'max_tokens',
    messagesParam: 'messages',
    choices: 1,
    sampling,
    ignored: [],
  });
const user = (content: ChatMessage['content']): ChatMessage => ({ role: 'user', content });
const calling = (call: Record<string, string>, more: Record<string, string> = {}): ChatMessage => ({
  role: 'assistant',
  content: null,
  extra: { tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', ...call }, ...more }] },
});

test('texts are judged in the words of the caller, each once; words of the API are not', () => {
  const tools = [
    {
      type: 'function',
      function: { name: 'weather', description: 'tells it', parameters: { type: 'object', properties: {} } },
    },
  ];
  const sampling = { tools, tool_choice: 'auto', temperature: 1, logit_bias: { 1234: 5 } };
  expect(textsOf([user('hello'), user('hello')], sampling)).toEqual(['hello', 'weather', 'tells it']);
});

const schema = (properties: ChatRequest['sampling']): ChatRequest['sampling'] => ({
  tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties } } }],
});
test.each([
  ['the name of a member', schema({ 'BAD name': { type: 'string' } })],
  ['below `id`', schema({ id: { type: 'string', description: 'BAD name' } })],
  ['below `type`', schema({ type: { description: 'BAD name' } })],
  ['an `id`', schema({ x: { id: 'BAD name' } })],
  [
    'a form of answers',
    { response_format: { type: 'json_schema', json_schema: { schema: { id: { const: 'BAD name' } } } } },
  ],
])('no place in a definition is left out: %s', (_what, sampling) => {
  expect(textsOf([user('hi')], sampling)).toContain('BAD name');
});

test.each([
  ['its id', calling({}, { id: 'BAD' })],
  ['its name', calling({ name: 'BAD' })],
  ['the id of a result', { role: 'tool', content: 'x', extra: { tool_call_id: 'BAD' } } satisfies ChatMessage],
])('nor one of a call: %s', (_what, message) => {
  expect(textsOf([message])).toContain('BAD');
});

test.each(['{"q":"\\u0042AD"}', '{"q":"\\u0042AD","n":NaN}', '{"q":"\\u0042\\u0041\\u0044"}'])(
  'arguments are judged as an engine reads them: %s',
  (written) => {
    expect(textsOf([calling({ arguments: written })]).some((text) => text.includes('"BAD"'))).toBe(true);
  },
);

test('escapes of JSON are read as JSON reads them', () => {
  const said = 'a\nb\t"c" \\ d/é\u{1F600}';
  expect(textsOf([calling({ arguments: JSON.stringify(said) })])).toContain(`"${said}"`);
});

test('parts of a message are judged alone and together', () => {
  const image = { type: 'image_url', image_url: { url: 'x' } } as const;
  const parts = [{ type: 'text', text: 'BA' } as const, image, { type: 'text', text: 'D' } as const];
  expect(textsOf([user(parts)])).toEqual(['BA', 'D', 'BAD']);
});
