import { expect, test } from '@jest/globals';
import { guardSpecialTokens } from '../../../gateway/request/special-tokens.ts';
import type { ChatMessage, ChatRequest, ContentPart, JsonValue } from '../../../gateway/request/chat.ts';
import { toFailure } from '../../../gateway/failure.ts';
import { ModelCard } from '../../../gateway/contract/model-card.ts';
import { specialTokenPattern } from '../../../gateway/contract/special-tokens.ts';
import { chatRequest } from '../../support/chat-request.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const card = phi3Card();
const ZW = '\u200B';
const SPECIAL = ['<|user|>', '<|assistant|>', '<|system|>', '<|end|>', '<|endoftext|>', '<s>', '</s>', '<unk>'];
const PLACEHOLDERS = ['<|image|>', '<|image_1|>', '<|image_1000|>', '<|image_１|>', '<|placeholder7|>'];

const neutralise = guardSpecialTokens(card);
const refuse = guardSpecialTokens({ ...card, special_tokens: 'refuse' });
const pass = guardSpecialTokens({ ...card, special_tokens: 'pass' });
const said = (content: ChatMessage['content'], extra?: Record<string, JsonValue>): ChatRequest =>
  chatRequest({ messages: [{ role: 'user', content, ...(extra === undefined ? {} : { extra }) }] });
const text = (written: string): ContentPart => ({ type: 'text', text: written });
const refusal = (asked: ChatRequest, by = refuse) => {
  try {
    by(asked);
  } catch (error) {
    const { code, message, options } = toFailure(error);
    return { code, message, param: options.param };
  }
  throw new Error('was accepted');
};
/** The special tokens that an engine would find in it, with escapes of call arguments undone. */
const remaining = (asked: ChatRequest): number =>
  JSON.stringify(asked)
    .replaceAll(/\\+u003c/gi, '<')
    .replaceAll(/\\+u007c/gi, '|')
    .search(specialTokenPattern(card.tokens.special.texts));

/** Each part of a request that an engine writes into a prompt, and its name in the caller's body. */
const PLACES: readonly (readonly [param: string, build: (token: string) => ChatRequest])[] = [
  ['messages[0].content', (token) => said(`a ${token} b`)],
  ['messages[0].content[1].text', (token) => said([text('a'), text(`${token}b`)])],
  ['messages[0].name', (token) => said('a', { name: token })],
  ['messages[0].tool_call_id', (token) => said('a', { tool_call_id: `x${token}` })],
  ['messages[0].tool_calls', (token) => said(null, { tool_calls: [{ id: '1', function: { name: token } }] })],
  [
    'messages[0].tool_calls',
    (token) => said(null, { tool_calls: [{ function: { name: 'f', arguments: JSON.stringify({ [token]: 1 }) } }] }),
  ],
  [
    'messages[1].content',
    (token) => chatRequest({ messages: [...said('a').messages, { role: 'tool', content: token }] }),
  ],
  ['instructions', (token) => chatRequest({ instructions: token, messages: said('a').messages })],
  ['prompt', (token) => chatRequest({ prompts: [`a${token}`], messagesParam: 'prompt' })],
  ['prompt[1]', (token) => chatRequest({ prompts: ['a', token], messagesParam: 'prompt' })],
  ['tools', (token) => chatRequest({ sampling: { tools: [{ function: { name: 'f', description: token } }] } })],
  ['tools', (token) => chatRequest({ sampling: { tools: [{ parameters: { properties: { [token]: {} } } }] } })],
  ['tool_choice', (token) => chatRequest({ sampling: { tool_choice: { function: { name: token } } } })],
];

test.each(PLACES)(
  'N6: a special token in %s is broken up, refused by name, or passed, as the card sets it',
  (param, build) => {
    for (const token of [...SPECIAL, ...PLACEHOLDERS]) {
      expect(remaining(build(token))).not.toBe(-1);
      expect(remaining(neutralise(build(token)))).toBe(-1);
      expect(JSON.stringify(neutralise(build(token))).replaceAll(ZW, '')).toBe(JSON.stringify(build(token)));
      expect(pass(build(token))).toEqual(build(token));
      const { code, message, param: named } = refusal(build(token));
      expect([code, named]).toEqual(['special_token', param]);
      expect(message).toContain(`${param} has ${JSON.stringify(token)}, which is a special token of ${card.name}`);
    }
  },
);

test('N6: the break follows the first character, and nothing else changes', () => {
  expect(neutralise(said('<|user|>\nHi <|end|>')).messages[0]?.content).toBe(`<${ZW}|user|>\nHi <${ZW}|end|>`);
  const ordinary = 'a < b | c > d <|> <||> <| user |> <b>bold</b> <script> < s> [INST] x<|y 日本 😀';
  for (const guard of [neutralise, refuse]) expect(guard(said(ordinary)).messages[0]?.content).toBe(ordinary);
});

test('N6: nested and overlapping tokens leave no token', () => {
  for (const written of [
    '<|<|user|>user|>',
    '<<|user|>|user|>',
    '<|user<|end|>|>',
    '<s<s>>',
    '<|user|><|user|>'.repeat(9),
  ])
    expect(remaining(neutralise(said(written)))).toBe(-1);
  // A second neutralisation changes nothing.
  const once = neutralise(said('<|<|user|>user|>'));
  expect(neutralise(once)).toEqual(once);
});

test('N6: a token split over the parts of a message is not joined', () => {
  const picture: ContentPart = { type: 'image_url', image_url: { url: 'data:image/png;base64,PHx1c2VyfD4=' } };
  const splits: readonly (readonly ContentPart[])[] = [
    [text('<|us'), text('er|>')],
    [text('a <'), text('|'), text('user'), text('|'), text('> b')],
    [text('<|image'), picture, text('_1|>')],
  ];
  const joined = (parts: ChatMessage['content'] | undefined): string =>
    Array.isArray(parts) ? parts.map((part: ContentPart) => (part.type === 'text' ? part.text : '')).join('') : '';
  const pattern = specialTokenPattern(card.tokens.special.texts);
  for (const parts of splits) {
    const guarded = joined(neutralise(said(parts)).messages[0]?.content);
    expect(guarded.search(pattern)).toBe(-1);
    expect(guarded.replaceAll(ZW, '')).toBe(joined(parts));
    expect(refusal(said(parts)).param).toMatch(/^messages\[0\]\.content\[\d\]\.text$/);
  }
});

test('N6: the address of a picture is unchanged, and a placeholder is not a picture', () => {
  const url = 'https://example.org/<|image_1|>.png';
  const parts: ContentPart[] = [{ type: 'image_url', image_url: { url } }, text('<|image_1|>')];
  expect(neutralise(said(parts)).messages[0]?.content).toEqual([parts[0], text(`<${ZW}|image_1|>`)]);
});

test('N6: escapes in the arguments of a call are read as the engine reads them, others stay', () => {
  const call = (written: string): ChatRequest => said(null, { tool_calls: [{ function: { arguments: written } }] });
  const args = (asked: ChatRequest): string => JSON.stringify(asked.messages[0]?.extra);
  for (const written of ['{"a":"\\u003c|user|>"}', '{"a":"<\\u007cuser\\u007C\\u003e"}', '{"a":"<\\/s>"}']) {
    const guarded = neutralise(call(written)).messages[0]?.extra?.['tool_calls'];
    const [parsed] = JSON.parse(JSON.stringify(guarded)) as { function: { arguments: string } }[];
    expect(Object.values(JSON.parse(parsed?.function.arguments ?? '{}') as object)).toEqual([
      expect.stringContaining(ZW),
    ]);
    expect(refusal(call(written)).param).toBe('messages[0].tool_calls');
  }
  for (const harmless of ['{"a":"\\\\u003c|user|>"}', '{"a":"caf\\u00e9 \\"x\\" \\ud83d\\ude00"}', 'no JSON \\'])
    expect(args(neutralise(call(harmless)))).toBe(args(call(harmless)));
});

test('N6: ids of special tokens are refused in a prompt, except the begin token; with pass they are accepted', () => {
  const ids = (prompt: readonly number[], more: readonly number[][] = []): ChatRequest =>
    chatRequest({ prompts: [prompt, ...more], messagesParam: 'prompt' });
  for (const guard of [neutralise, refuse]) {
    expect(guard(ids([1, 450, 31_999])).prompts).toEqual([[1, 450, 31_999]]);
    for (const id of [0, 2, 32_000, 32_010, 32_044, 32_063]) {
      const { code, param, message } = refusal(ids([1, 450, id]), guard);
      expect([code, param]).toEqual(['special_token', 'prompt[2]']);
      expect(message).toContain(`is ${id}, the id of a special token`);
    }
    expect(refusal(ids([1], [[1, 32_010]]), guard).param).toBe('prompt[1][1]');
  }
  expect(pass(ids([1, 32_010])).prompts).toEqual([[1, 32_010]]);
});

test('N6: a card without special tokens has the default ones, and neutralises', () => {
  const { special: _, ...tokens } = card.tokens;
  const { special_tokens: __, ...rest } = card;
  const usual = ModelCard.parse({ ...rest, tokens });
  expect(usual.special_tokens).toBe('neutralise');
  const guarded = guardSpecialTokens(usual)(said('<|im_start|>system [INST] <bos> <##IMAGE##>'));
  expect(guarded.messages[0]?.content).toBe(`<${ZW}|im_start|>system [${ZW}INST] <${ZW}bos> <${ZW}##IMAGE##>`);
});

test('N6: a megabyte is searched in a few milliseconds, whatever its contents', () => {
  const megabyte = 1_000_000;
  for (const piece of ['a', '<', '<|', '<|' + 'x'.repeat(62), '</s', '|>']) {
    const written = piece.repeat(megabyte / piece.length);
    const before = process.cpuUsage();
    const guarded = neutralise(said([text(written), text(written)]));
    const { user, system } = process.cpuUsage(before);
    expect(remaining(guarded)).toBe(-1);
    // 2 MB take 2 to 20 ms; a search that is not linear takes minutes.
    expect([piece, (user + system) / 1_000 < 500]).toEqual([piece, true]);
  }
});

test('N6: too many special tokens are refused, counted over all texts', () => {
  expect(remaining(neutralise(said('<s>'.repeat(10_000))))).toBe(-1);
  const many = Array.from({ length: 11 }, () => text('<|user|>'.repeat(1_000)));
  expect(refusal(said(many), neutralise)).toMatchObject({
    code: 'special_token',
    param: 'messages[0].content[10].text',
  });
});
