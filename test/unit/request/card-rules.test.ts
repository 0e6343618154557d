import { expect, test } from '@jest/globals';
import { compileRules } from '../../../gateway/request/card-rules.ts';
import type { CardRules } from '../../../gateway/request/card-rules.ts';
import { imageTokens } from '../../../gateway/request/image-tokens.ts';
import type { ChatRequest, ContentPart, Prompt } from '../../../gateway/request/chat.ts';
import { toFailure } from '../../../gateway/failure.ts';
import type { Failure } from '../../../gateway/failure.ts';
import { parseCatalog } from '../../../gateway/contract/model-card.ts';
import { readYamlFolder } from '../../../gateway/runtime/yaml-folder.ts';
import { chatRequest } from '../../support/chat-request.ts';

const NAME = 'Phi-3-vision-128k-instruct';
const catalog = parseCatalog(readYamlFolder('deploy/models'));
const found = catalog.find('azureai');
if (found === undefined) throw new Error('no card');
const card = found;
const rules = compileRules(card, { maxTokens: 'refuse', maxChoices: 1 });

const text: ContentPart = { type: 'text', text: 'hi' };
const picture: ContentPart = { type: 'image_url', image_url: { url: 'https://example.org/a.png' } };

function conversation(
  turns: readonly (string | readonly ContentPart[])[],
  fields: Partial<ChatRequest> = {},
): ChatRequest {
  return chatRequest({
    messages: turns.map((content) => ({ role: 'user', content })),
    ...fields,
  });
}
function refusal(check: () => unknown): Failure {
  try {
    check();
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}
const before = (request: ChatRequest, by: CardRules = rules) => refusal(() => by.checkBeforeImages(request));

test('the shipped card: its names, and the same num_crops for the rules and the engine', () => {
  for (const name of [NAME, 'phi3-mini-vision', `microsoft/${NAME}`]) expect(catalog.find(name)).toBe(card);
  expect(card.engine.mm_processor_kwargs).toEqual({ num_crops: card.tokens.image?.num_crops });
});

test('the card’s grid: one image in a conversation of one or more turns is accepted', () => {
  expect(rules.checkBeforeImages(conversation(['hi']))).toEqual({ kind: 'text', maxTokens: 4096 });
  expect(rules.checkBeforeImages(conversation([[picture, text]]))).toEqual({ kind: 'image', maxTokens: 4096 });
  expect(rules.checkBeforeImages(conversation([[picture, text], 'and then?', [text]]))).toMatchObject({
    kind: 'image',
  });
});

test.each([
  ['in one turn', [[picture, text, picture]], 'messages[0].content[2]', 2, 'messages[0].content[2] is one too many'],
  [
    'over several turns',
    [[picture], 'hm', [text, picture], [picture]],
    'messages[2].content[1]',
    3,
    'messages[2].content[1] and messages[3].content[0] are too many',
  ],
])(
  'the card’s grid: G: several images %s are refused, and the place of each surplus image is named',
  (_name, turns, param, asked, told) => {
    expect(before(conversation(turns))).toMatchObject({
      code: 'too_many_images',
      status: 400,
      message: `${NAME} takes 1 image per conversation (all turns counted); this one has ${asked}; ${told}`,
      options: { param, asked, allowed: 1, card: NAME },
    });
  },
);

test('G: of thousands of surplus pictures sixteen are named and the others counted', () => {
  const failure = before(conversation([Array.from({ length: 2_000 }, () => picture)]));
  expect(failure.message).toMatch(/messages\[0\]\.content\[16\] and 1983 more are too many$/);
});

test('a text model accepts no image, whatever its card allows', () => {
  const textOnly = { ...card, modalities: { ...card.modalities, input: ['text' as const] } };
  const failure = before(
    conversation([[text, picture]]),
    compileRules(textOnly, { maxTokens: 'refuse', maxChoices: 1 }),
  );
  expect(failure).toMatchObject({ code: 'too_many_images', options: { param: 'messages[0].content[1]', allowed: 0 } });
});

test('several answers to one request are a batch, unless the operator allows it', () => {
  const two = conversation(['hi'], { choices: 2, maxTokensParam: 'input_data.parameters.max_new_tokens' });
  expect(before(two)).toMatchObject({
    code: 'batch_not_supported',
    message: `${NAME} gives 1 answer per request; this one asks for 2: send it again for each further one`,
    options: { param: 'input_data.parameters.n', asked: 2, allowed: 1, card: NAME },
  });
  expect(compileRules(card, { maxTokens: 'refuse', maxChoices: 2 }).checkBeforeImages(two).kind).toBe('text');
});

test('an answer longer than the card’s longest is refused, or cut if the operator sets that', () => {
  const long = conversation(['hi'], { maxTokens: 5_000 });
  expect(before(long)).toMatchObject({
    code: 'max_tokens_exceeded',
    options: { param: 'max_tokens', asked: 5_000, allowed: 4_096, card: NAME },
  });
  const clamp = compileRules(card, { maxTokens: 'clamp', maxChoices: 1 });
  expect(clamp.checkBeforeImages(long).maxTokens).toBe(4_096);
  expect(clamp.checkBeforeImages(conversation(['hi'], { maxTokens: 7 })).maxTokens).toBe(7);
  expect(rules.checkBeforeImages(conversation(['hi'], { maxTokens: 4_096 })).maxTokens).toBe(4_096);
});

test('a conversation that cannot fit the context is refused before an engine counts its tokens', () => {
  const most = 131_072 * card.tokens.longest_token_characters;
  expect(rules.checkBeforeImages(conversation(['a'.repeat(most)])).kind).toBe('text');
  expect(before(conversation(['a'.repeat(most), 'b']))).toMatchObject({
    code: 'context_length_exceeded',
    options: { param: 'messages', asked: 131_073, allowed: 131_072, card: NAME },
  });
  expect(before(conversation([[{ type: 'text', text: 'a'.repeat(most) }, picture]])).options.asked).toBe(131_072 + 313);
});

test('the true size of a picture counts against the context', () => {
  const nearly = 'a'.repeat((131_072 - 2_000) * card.tokens.longest_token_characters);
  const request = conversation([[{ type: 'text', text: nearly }, picture]]);
  const at = (width: number, height: number) => [{ param: 'messages[0].content[1].image_url.url', width, height }];
  expect(rules.checkBeforeImages(request).kind).toBe('image');
  expect(() => rules.checkWithImages(request, at(400, 300))).not.toThrow();
  expect(refusal(() => rules.checkWithImages(request, at(300, 300)))).toMatchObject({
    code: 'context_length_exceeded',
    options: { asked: 131_072 - 2_000 + 2_509, allowed: 131_072 },
  });
});

test.each([
  [1, 1, true],
  [6_000, 1, false],
  [336, 5_400, true],
  [5_376, 1, true],
  [5_377, 1, false],
  [1, 5_377, false],
])('a picture of %i by %i pixels can be divided into tiles: %s', (width, height, fine) => {
  const check = () => rules.checkWithImages(conversation([[picture]]), [{ param: 'p', width, height }]);
  if (fine) expect(check).not.toThrow();
  else
    expect(refusal(check)).toMatchObject({
      code: 'invalid_image',
      options: { param: 'p', allowed: 5_376, card: NAME },
    });
});

test.each([
  [16, [2509, 1921, 2353, 2377, 1933]],
  [12, [1489, 1921, 1921, 1933, 1933]],
  [9, [1489, 1489, 1045, 1057, 1489]],
  [6, [757, 757, 1045, 1057, 757]],
  [4, [757, 757, 757, 757, 757]],
  [1, [313, 313, 313, 313, 313]],
])('image tokens at num_crops %i are the same as vLLM’s', (num_crops, tokens) => {
  const sizes: [number, number][] = [
    [1, 1],
    [1024, 768],
    [1920, 1080],
    [1080, 1920],
    [1240, 1754],
  ];
  expect(sizes.map(([width, height]) => imageTokens({ formula: 'phi3_v', num_crops }, width, height))).toEqual(tokens);
});

const completion = (prompts: readonly [Prompt, ...Prompt[]], fields: Partial<ChatRequest> = {}): ChatRequest => ({
  ...conversation([], { messagesParam: 'prompt', ...fields }),
  prompts,
});

test('E12: several prompts in one request are a batch, which the card refuses; a card that allows it limits the answers', () => {
  expect(before(completion(['a', [1, 2], 'c']))).toMatchObject({
    code: 'batch_not_supported',
    message: `${NAME} takes 1 prompt per request; prompt holds 3: send each prompt in a request of its own`,
    options: { param: 'prompt', asked: 3, allowed: 1, card: NAME },
  });
  const free = compileRules(
    { ...card, limits: { ...card.limits, batch: true } },
    { maxTokens: 'refuse', maxChoices: 4 },
  );
  expect(free.checkBeforeImages(completion(['a', 'b'], { choices: 2 }))).toMatchObject({ kind: 'text' });
  expect(before(completion(['a', 'b', 'c'], { choices: 2 }), free)).toMatchObject({
    options: { asked: 6, allowed: 4 },
  });
  const many = (count: number) => completion(['a', ...new Array<string>(count - 1).fill('b')]);
  expect(free.checkBeforeImages(many(128))).toMatchObject({ kind: 'text' });
  expect(before(many(129), free)).toMatchObject({ options: { param: 'prompt', asked: 129, allowed: 128 } });
});

test('token ids are counted exactly: a prompt longer than the context is refused', () => {
  const ids = (count: number): number[] => new Array<number>(count).fill(1);
  expect(rules.checkBeforeImages(completion([ids(131_072)]))).toMatchObject({ kind: 'text' });
  expect(before(completion([ids(131_073)]))).toMatchObject({
    code: 'context_length_exceeded',
    options: { param: 'prompt', asked: 131_073, allowed: 131_072 },
  });
});

test('the card refuses a tool unless it says that its model calls tools', () => {
  const request = conversation(['hi'], { sampling: { tools: [{ type: 'function', function: { name: 'paint' } }] } });
  expect(before(request)).toMatchObject({ code: 'unsupported_parameter', options: { param: 'tools', card: NAME } });
  const able = compileRules(
    { ...card, limits: { ...card.limits, tools: true } },
    { maxTokens: 'refuse', maxChoices: 1 },
  );
  expect(able.checkBeforeImages(request)).toMatchObject({ kind: 'text' });
});

test('min_tokens above max_tokens is refused, also above the default of max_tokens', () => {
  expect(before(conversation(['hi'], { maxTokens: 6, sampling: { min_tokens: 20 } }))).toMatchObject({
    code: 'invalid_request',
    options: { param: 'min_tokens', asked: 20, allowed: 6 },
  });
  expect(before(conversation(['hi'], { sampling: { min_tokens: 5_000 } }))).toMatchObject({
    options: { allowed: 4_096 },
  });
});

const ids = (fields: Partial<ChatRequest>): ChatRequest => conversation(['hi'], fields);

test.each([
  ['an id of stop_token_ids', ids({ sampling: { stop_token_ids: [0, 32_064] } }), 'stop_token_ids[1]'],
  ['an id of allowed_token_ids', ids({ sampling: { allowed_token_ids: [32_064] } }), 'allowed_token_ids[0]'],
  ['an id of logprob_token_ids', ids({ sampling: { logprob_token_ids: [32_064] } }), 'logprob_token_ids[0]'],
  ['a key of logit_bias', ids({ sampling: { logit_bias: { '5': 1, '32064': 1 } } }), 'logit_bias.32064'],
  [
    'an id on /score',
    ids({ maxTokensParam: 'input_data.parameters.max_new_tokens', sampling: { stop_token_ids: [32_064] } }),
    'input_data.parameters.stop_token_ids[0]',
  ],
  ['an id of a prompt', ids({ messages: [], messagesParam: 'prompt', prompts: [[1, 32_064]] }), 'prompt[1]'],
])('N3: %s beyond the vocabulary is refused, the last valid id is not', (_what, request, param) => {
  const known: unknown = JSON.parse(JSON.stringify(request).replaceAll('32064', '32063'));
  expect(() => rules.checkBeforeImages(known as ChatRequest)).not.toThrow();
  expect(before(request)).toMatchObject({
    code: 'invalid_request',
    message: `${NAME} has tokens from 0 to 32063; ${param} names the token 32064`,
    options: { param, asked: 32_064, allowed: 32_063, card: NAME },
  });
  const silent = { ...card, tokens: { ...card.tokens, vocabulary: undefined } };
  expect(() => compileRules(silent, { maxTokens: 'refuse', maxChoices: 1 }).checkBeforeImages(request)).not.toThrow();
});

test('N3: several prompts: the one with an unknown token is named', () => {
  const batch = compileRules(
    { ...card, limits: { ...card.limits, batch: true } },
    { maxTokens: 'refuse', maxChoices: 1 },
  );
  const request = ids({ messages: [], messagesParam: 'prompt', prompts: [[1], [2, 40_000]] });
  expect(before(request, batch).options.param).toBe('prompt[1][1]');
});
