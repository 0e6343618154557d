import { expect, test } from '@jest/globals';
import { toFailure } from '../../../../gateway/failure.ts';
import { createAzureScore } from '../../../../gateway/dialects/score/score.ts';
import { openai } from '../../../../gateway/dialects/openai/chat.ts';

const score = createAzureScore({ deploymentName: 'penstock' });
const picture = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };

/** Both dialects read the same messages; their refusals differ only in the name of the list. */
const dialects = [
  ['messages', (messages: unknown) => openai.parse({ messages })],
  ['input_data.input_string', (messages: unknown) => score.parse({ input_data: { input_string: messages } })],
] as const;

function refusal(run: () => unknown): { code: string; message: string; param: string | undefined } {
  try {
    run();
  } catch (error) {
    const { code, message, options } = toFailure(error);
    return { code, message, param: options.param };
  }
  throw new Error('was accepted');
}

test.each(dialects)('%s: roles, parts and the fields of tool calls are normalised', (_at, parse) => {
  const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } };
  const parsed = parse([
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', name: 'ann', content: [{ type: 'text', text: 'what?' }, picture] },
    { role: 'assistant', content: null, tool_calls: [call], refusal: null },
    { role: 'tool', content: '7', tool_call_id: 'c1' },
    { role: 'assistant', tool_calls: [] },
  ]);
  expect(parsed.messages).toEqual([
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: [{ type: 'text', text: 'what?' }, picture], extra: { name: 'ann' } },
    { role: 'assistant', content: null, extra: { tool_calls: [call] } },
    { role: 'tool', content: '7', extra: { tool_call_id: 'c1' } },
    { role: 'assistant', content: null },
  ]);
  expect(parsed.ignored).toEqual([]);
});

test.each(dialects)('%s: a picture’s URL may be a plain string; detail is listed as ignored', (_at, parse) => {
  const url = 'https://example.org/a.png';
  const parts = [
    { type: 'image_url', image_url: url },
    { type: 'image_url', image_url: { url, detail: 'high' } },
  ];
  const parsed = parse([{ role: 'user', content: parts }]);
  expect(parsed.messages[0]?.content).toEqual(Array(2).fill({ type: 'image_url', image_url: { url } }));
  expect(parsed.ignored).toEqual(['image_url.detail']);
});

const user = (...parts: unknown[]) => [{ role: 'user', content: parts }];
const faults: readonly (readonly [unknown, string, string])[] = [
  [[], '', 'at least one'],
  [undefined, '', 'list of messages'],
  ['hi', '', 'list of messages'],
  [[{ role: 'user', content: 'hi' }, 7], '[1]', 'got 7'],
  [[{ role: 'robot', content: 'hi' }], '[0].role', 'got "robot"'],
  [[{ content: 'hi' }], '[0].role', 'missing'],
  [[{ role: 'user', content: null }], '[0].content', 'a text or a list of parts'],
  [[{ role: 'user', content: 5 }], '[0].content', 'a text or a list of parts'],
  [user({ type: 'text', text: 9 }), '[0].content[0].text', 'got 9'],
  [user({ type: 'image', image: 'data:image;base64,AAAA' }), '[0].content[0].type', 'data:image/png;base64,'],
  [user({ type: 'input_audio', input_audio: {} }), '[0].content[0].type', 'got "input_audio"'],
  [user({ type: 'image_url' }), '[0].content[0].image_url', 'missing'],
  [user({ type: 'image_url', image_url: { url: '' } }), '[0].content[0].image_url.url', 'got ""'],
  [user({ type: 'image_url', image_url: { url: 4 } }), '[0].content[0].image_url.url', 'got 4'],
  [[{ role: 'assistant', content: '', tool_calls: 'f' }], '[0].tool_calls', 'a list of calls'],
];
test.each(faults)('%j is refused, with the name of its place', (messages, place, words) => {
  for (const [at, parse] of dialects) {
    const failure = refusal(() => parse(messages));
    expect(failure).toMatchObject({ code: 'invalid_request', param: at + place });
    expect(failure.message).toContain(words);
  }
});

test('a uuid on a picture is refused, because it could give access to another caller’s picture', () => {
  const onPart = refusal(() => openai.parse({ messages: user({ ...picture, uuid: 'u' }) }));
  expect(onPart).toMatchObject({ code: 'unsupported_parameter', param: 'messages[0].content[0].uuid' });
  const inside = { type: 'image_url', image_url: { ...picture.image_url, uuid: 'u' } };
  expect(refusal(() => openai.parse({ messages: user(inside) })).param).toBe('messages[0].content[0].image_url.uuid');
});

test.each(dialects)('%s: reasoning of an earlier turn is renamed for the engine', (_at, parse) => {
  const turn = (fields: object) => [{ role: 'assistant', content: 'so', ...fields }];
  const arrived = [{ role: 'assistant', content: 'so', extra: { reasoning: 'as' } }];
  for (const name of ['reasoning', 'reasoning_content'])
    expect(parse(turn({ [name]: 'as' }))).toMatchObject({ messages: arrived, ignored: [] });
  const asked = parse([{ role: 'user', content: 'why?', reasoning_content: 'as' }]);
  expect(asked).toMatchObject({ messages: [{ content: 'why?' }], ignored: ['messages.reasoning_content'] });
});

test.each(dialects)('%s: parts of a message that would be lost are refused by name', (at, parse) => {
  const turn = (fields: object) => () => parse([{ role: 'assistant', content: 'so', ...fields }]);
  for (const name of ['audio', 'function_call', 'tools', 'task'])
    expect(refusal(turn({ [name]: { id: 'a' } }))).toMatchObject({
      code: 'unsupported_parameter',
      param: `${at}[0].${name}`,
    });
  const custom = { id: 'c', type: 'custom', custom: { name: 'f', input: 'x' } };
  expect(refusal(turn({ tool_calls: [custom] })).param).toBe(`${at}[0].tool_calls[0].type`);
  const both = { ...picture, text: 'what?' };
  expect(refusal(() => parse(user(both))).param).toBe(`${at}[0].content[0].text`);
  expect(() => parse(user({ ...picture, text: '' }))).not.toThrow();
});

test('no refusal quotes a prompt or a picture, however short', () => {
  const canary = 'CANARY';
  const bodies = [
    canary,
    { messages: canary },
    { messages: [canary] },
    { messages: [{ role: 'user', content: { text: canary } }] },
    { messages: user([canary]) },
    { messages: user({ type: 'text', text: [canary] }) },
    { messages: user({ type: 'image_url', image_url: [canary] }) },
    { messages: [{ role: 'user', content: 'x', tool_call_id: [canary] }] },
    { messages: user({ type: 'image_url', image_url: { url: { canary } } }), temperature: 'hot' },
    { messages: user({ type: 'text', text: canary }), stop: [''], bad_words: canary.repeat(50) },
  ];
  for (const body of bodies) {
    expect(refusal(() => openai.parse(body)).message).not.toContain(canary);
    expect(refusal(() => score.parse(body)).message).not.toContain(canary);
  }
});

/** What vLLM 0.33 reads on its chat route besides OpenAI's forms (source: `entrypoints/chat_utils.py`). */
test.each(dialects)('E5: %s: further forms of parts that vLLM reads', (_at, parse) => {
  const url = 'https://example.org/a.png';
  const said = { type: 'text', text: 'x' };
  const shown = { type: 'image_url', image_url: { url } };
  for (const [given, read] of [
    ['x', said],
    [{ type: 'input_text', text: 'x' }, said],
    [{ type: 'output_text', text: 'x', annotations: [] }, said],
    [{ image_url: { url } }, shown],
    [{ type: null, image_url: url }, shown],
    [{ type: 'input_image', image_url: url }, shown],
  ])
    expect(parse(user(given))).toMatchObject({ messages: [{ content: [read] }], ignored: [] });
  const { ignored } = parse(user({ type: 'input_image', image_url: url, detail: 'high', cache_control: { a: 1 } }));
  expect(ignored).toEqual(['content.detail', 'content.cache_control']);
});

test.each(dialects)('E5: %s: a refusal lists the allowed forms of a part', (at, parse) => {
  const known = 'text, input_text, output_text, image_url, input_image';
  const told = (role: string, part: unknown) => refusal(() => parse([{ role, content: [part] }]));
  for (const [role, types] of [
    ['user', known],
    ['assistant', `${known}, refusal`],
  ] as const) {
    const { message, param } = told(role, { type: 'file' });
    expect(param).toBe(`${at}[0].content[0].type`);
    expect(message).toContain(`.type must be one of ${types}, got "file"`);
  }
  expect(told('user', { text: 'x' }).message).toContain('.type must be one of');
  expect(told('user', { type: 'input_text', text: 'x', image_url: 'y' }).param).toBe(`${at}[0].content[0].image_url`);
  expect(told('user', { type: 'input_image', file_id: 'f' }).param).toBe(`${at}[0].content[0].image_url`);
  expect(told('user', 'a\ud800').message).toContain('has half of a character');
});
