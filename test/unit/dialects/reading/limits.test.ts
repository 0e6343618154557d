import { expect, test } from '@jest/globals';
import { toFailure, type Failure } from '../../../../gateway/failure.ts';
import type { Dialect } from '../../../../gateway/dialects/dialect.ts';
import { LIMITS, type Limit } from '../../../../gateway/dialects/reading/limits.ts';
import { DIALECTS } from '../../../support/api-document.ts';
import { asManyHere } from '../../../support/cpu-time.ts';
import { phi3Card } from '../../../support/phi3-card.ts';

type Fields = Readonly<Record<string, unknown>>;
/** One API, and a complete body of it except the given fields. */
interface Route {
  readonly name: string;
  readonly dialect: Dialect;
  readonly body: (fields: Fields) => unknown;
  /** name of the fields' place in the caller's body */
  readonly prefix: string;
  readonly continues?: true;
}
const HI = [{ role: 'user', content: 'hi' }];
const OPENAI: readonly Route[] = [
  { name: 'chat', dialect: DIALECTS.openai, body: (fields) => ({ messages: HI, ...fields }), prefix: '' },
  { name: 'completions', dialect: DIALECTS.completions, body: (fields) => ({ prompt: 'hi', ...fields }), prefix: '' },
  { name: 'inference', dialect: DIALECTS.inference, body: (fields) => ({ messages: HI, ...fields }), prefix: '' },
  { name: 'azure_openai', dialect: DIALECTS.azureOpenai, body: (fields) => ({ messages: HI, ...fields }), prefix: '' },
];
const RESPONSES: Route = {
  name: 'responses',
  dialect: DIALECTS.responses,
  body: (fields) => ({ input: 'hi', ...fields }),
  prefix: '',
};
const TOKENIZE: Route = {
  name: 'tokenize',
  dialect: DIALECTS.tokenize,
  body: (fields) => ('prompt' in fields ? fields : { messages: HI, ...fields }),
  prefix: '',
};
const SCORE: Route = {
  name: 'score',
  dialect: DIALECTS.score,
  body: (fields) => ({ input_data: { input_string: HI, parameters: fields } }),
  prefix: 'input_data.parameters.',
};
const CONTINUES: Route = {
  ...SCORE,
  name: 'score of prompts',
  body: (fields) => ({ input_data: { input_string: ['hi'], parameters: fields } }),
  continues: true,
};
const PASSING = { 'extra-parameters': 'pass-through' };
const CARD = phi3Card();

function parse({ dialect, continues }: Route, body: unknown) {
  return dialect.parse(body, {
    headers: PASSING,
    card: continues === true ? { ...CARD, task: 'text-generation' } : CARD,
  });
}

/** The failure of a body; undefined if it is accepted. */
function refusal(route: Route, body: unknown): Failure | undefined {
  try {
    parse(route, body);
    return undefined;
  } catch (error) {
    return toFailure(error);
  }
}

const times = <Item>(count: number, item: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => item(index));
const members = (count: number, prefix: string, value: unknown): Fields =>
  Object.fromEntries(times(count, (index) => [`${prefix}${index}`, value]));

/** A field with exactly `count` of the units of its limit. */
interface Limited {
  readonly field: string;
  readonly limit: Limit;
  readonly value: (count: number) => unknown;
  readonly routes: readonly Route[];
  /** the part of the field that the refusal names */
  readonly inside?: string;
}
const CHATS = OPENAI.filter(({ name }) => name !== 'completions');
const SAMPLED = [...OPENAI, RESPONSES];
const schema = (value: unknown): unknown => ({ type: 'json_schema', json_schema: { name: 's', schema: value } });
const nested = (levels: number): unknown =>
  times(levels - 1, String).reduce<unknown>((inner) => ({ not: inner }), { not: true });

const FIELDS: readonly Limited[] = [
  { field: 'stop', limit: LIMITS.stop, value: (n) => times(n, String), routes: [...SAMPLED, SCORE, CONTINUES] },
  { field: 'stop', limit: LIMITS.stopText, value: (n) => 'x'.repeat(n), routes: [...SAMPLED, SCORE, CONTINUES] },
  { field: 'stop', limit: LIMITS.stopText, value: (n) => ['a', 'x'.repeat(n)], routes: SAMPLED, inside: '[1]' },
  { field: 'stop_token_ids', limit: LIMITS.stopTokenIds, value: (n) => times(n, (i) => i), routes: SAMPLED },
  { field: 'eos_token_id', limit: LIMITS.stopTokenIds, value: (n) => times(n, (i) => i), routes: [SCORE, CONTINUES] },
  { field: 'bad_words', limit: LIMITS.badWords, value: (n) => times(n, String), routes: OPENAI },
  { field: 'bad_words', limit: LIMITS.badWord, value: (n) => ['x'.repeat(n)], routes: OPENAI, inside: '[0]' },
  { field: 'allowed_token_ids', limit: LIMITS.allowedTokenIds, value: (n) => times(n, (i) => i), routes: OPENAI },
  { field: 'logprob_token_ids', limit: LIMITS.logprobTokenIds, value: (n) => times(n, (i) => i), routes: CHATS },
  { field: 'logit_bias', limit: LIMITS.logitBias, value: (n) => members(n, '1', 0), routes: SAMPLED },
  { field: 'model', limit: LIMITS.model, value: (n) => 'm'.repeat(n), routes: [...SAMPLED, TOKENIZE] },
  { field: 'user', limit: LIMITS.label, value: (n) => 'u'.repeat(n), routes: SAMPLED },
  { field: 'metadata', limit: LIMITS.metadata, value: (n) => members(n, 'k', ''), routes: SAMPLED },
  {
    field: 'metadata',
    limit: LIMITS.metadataValue,
    value: (n) => ({ k: 'v'.repeat(n) }),
    routes: SAMPLED,
    inside: '.k',
  },
  {
    field: 'include',
    limit: LIMITS.include,
    value: (n) => times(n, () => 'message.output_text.logprobs'),
    routes: [RESPONSES],
  },
  {
    field: 'tools',
    limit: LIMITS.tools,
    value: (n) => times(n, (i) => ({ type: 'function', function: { name: `f${i}` } })),
    routes: [...CHATS, TOKENIZE],
  },
  {
    field: 'tools',
    limit: LIMITS.name,
    value: (n) => [{ type: 'function', function: { name: 'f'.repeat(n) } }],
    routes: [...CHATS, TOKENIZE],
    inside: '[0].function.name',
  },
  {
    field: 'tools',
    limit: LIMITS.schemaProperties,
    value: (n) => [{ type: 'function', function: { name: 'f', parameters: { properties: members(n, 'p', true) } } }],
    routes: [...CHATS, TOKENIZE],
    inside: '[0].function.parameters',
  },
  {
    field: 'tools',
    limit: LIMITS.description,
    value: (n) => [{ type: 'function', function: { name: 'f', description: 'd'.repeat(n) } }],
    routes: [...CHATS, TOKENIZE],
    inside: '[0].function.description',
  },
  {
    field: 'response_format',
    limit: LIMITS.description,
    value: (n) => schema({ properties: { a: { title: 't'.repeat(n) } } }),
    routes: OPENAI,
    inside: '.json_schema.schema.properties.a.title',
  },
  {
    field: 'response_format',
    limit: LIMITS.schemaProperties,
    value: (n) => schema({ properties: members(n, 'p', {}) }),
    routes: OPENAI,
    inside: '.json_schema.schema',
  },
  {
    field: 'response_format',
    limit: LIMITS.schemaEnums,
    value: (n) => schema({ enum: times(n, String) }),
    routes: OPENAI,
    inside: '.json_schema.schema.enum',
  },
  {
    field: 'response_format',
    limit: LIMITS.name,
    value: (n) => ({ type: 'json_schema', json_schema: { name: 's'.repeat(n), schema: {} } }),
    routes: OPENAI,
    inside: '.json_schema.name',
  },
  {
    field: 'response_format',
    limit: LIMITS.repetitions,
    value: (n) => schema({ type: 'array', maxItems: n }),
    routes: OPENAI,
    inside: '.json_schema.schema.maxItems',
  },
  {
    field: 'text',
    limit: LIMITS.quantifiers,
    value: (n) => ({
      format: {
        type: 'json_schema',
        name: 's',
        schema: { items: [{ pattern: 'a?' }, { pattern: 'b?'.repeat(n - 1) }] },
      },
    }),
    routes: [RESPONSES],
    inside: '.format.schema.items[1].pattern',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.choices,
    value: (n) => ({ choice: times(n, String) }),
    routes: SAMPLED,
    inside: '.choice',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.regex,
    value: (n) => ({ regex: 'x'.repeat(n) }),
    routes: SAMPLED,
    inside: '.regex',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.quantifiers,
    value: (n) => ({ regex: '(a|)'.repeat(n) }),
    routes: SAMPLED,
    inside: '.regex',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.repetitions,
    value: (n) => ({ regex: `(ab){2,${n}}` }),
    routes: SAMPLED,
    inside: '.regex',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.nesting,
    value: (n) => ({ regex: `${'('.repeat(n)}a${')'.repeat(n)}` }),
    routes: SAMPLED,
    inside: '.regex',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.grammar,
    value: (n) => ({ grammar: `root ::= "${'x'.repeat(n - 11)}"` }),
    routes: SAMPLED,
    inside: '.grammar',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.grammarRules,
    value: (n) => ({ grammar: times(n, (i) => `r${i} ::= "a"`).join('\n') }),
    routes: SAMPLED,
    inside: '.grammar',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.quantifiers,
    value: (n) => ({ grammar: `start: ${'"a"? '.repeat(n)}` }),
    routes: SAMPLED,
    inside: '.grammar',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.quantifiers,
    value: (n) => ({ grammar: `// it's "one"\nstart: A # "\nA: /[^"]"${'b?'.repeat(n)}\\/"/` }),
    routes: [RESPONSES],
    inside: '.grammar',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.quantifiers,
    value: (n) => ({ grammar: `start: ${'["a"] '.repeat(n)}` }),
    routes: [RESPONSES],
    inside: '.grammar',
  },
  {
    field: 'structured_outputs',
    limit: LIMITS.schemaEnums,
    value: (n) => ({ json: JSON.stringify({ enum: times(n, String) }) }),
    routes: SAMPLED,
    inside: '.json.enum',
  },
];

const rows = FIELDS.flatMap(({ routes, ...row }) => routes.map((route) => ({ ...row, route, name: route.name })));

test.each(rows)(
  'N3: $name $field: $limit.most $limit.unit are accepted, one more is refused with all numbers',
  ({ route, field, limit, value, inside = '' }) => {
    expect(refusal(route, route.body({ [field]: value(limit.most) }))).toBeUndefined();
    const param = route.prefix + field + inside;
    const said = `${param} has ${limit.most + 1} ${limit.unit}; the limit is ${limit.most}`;
    expect(refusal(route, route.body({ [field]: value(limit.most + 1) }))).toMatchObject({
      code: 'invalid_request',
      message: said,
      options: { param, asked: limit.most + 1, allowed: limit.most },
    });
  },
);

const conversations: readonly (readonly [Limit, (count: number) => unknown[], string])[] = [
  [LIMITS.messages, (n) => times(n, () => ({ role: 'user', content: '' })), ''],
  [LIMITS.parts, (n) => [{ role: 'user', content: times(n, () => ({ type: 'text', text: '' })) }], ''],
  [LIMITS.toolCalls, (n) => [{ role: 'assistant', content: '', tool_calls: times(n, () => ({})) }], '[0].tool_calls'],
  [
    LIMITS.toolArguments,
    (n) => [{ role: 'assistant', content: '', tool_calls: [{ function: { name: 'f', arguments: '1'.repeat(n) } }] }],
    '[0].tool_calls[0].function.arguments',
  ],
  [LIMITS.name, (n) => [{ role: 'user', content: '', name: 'n'.repeat(n) }], '[0].name'],
  [LIMITS.id, (n) => [{ role: 'tool', content: '', tool_call_id: 'c'.repeat(n) }], '[0].tool_call_id'],
  [LIMITS.fields, (n) => [{ role: 'user', content: '', ...members(n - 2, 'f', 1) }], '[0]'],
];

test.each(conversations)(
  'N3: %#: lists and texts of a conversation, on every route with one',
  (limit, messages, inside) => {
    for (const route of [...CHATS, TOKENIZE, SCORE]) {
      const at = route === SCORE ? 'input_data.input_string' : 'messages';
      const body = (count: number): unknown =>
        route === SCORE ? { input_data: { input_string: messages(count) } } : { messages: messages(count) };
      expect(refusal(route, body(limit.most))).toBeUndefined();
      expect(refusal(route, body(limit.most + 1))?.options).toEqual({
        param: at + inside,
        asked: limit.most + 1,
        allowed: limit.most,
      });
    }
  },
);

test('N3: items and parts of /v1/responses', () => {
  const item = (content: unknown): unknown => ({ role: 'user', content });
  const part = { type: 'input_text', text: '' };
  expect(refusal(RESPONSES, { input: times(2_048, () => item('')) })).toBeUndefined();
  expect(refusal(RESPONSES, { input: times(2_049, () => item('')) })?.options.allowed).toBe(2_048);
  expect(refusal(RESPONSES, { input: [item(times(4_097, () => part))] })?.options.allowed).toBe(4_096);
});

test('N3: more prompts than any card allows, and more fields than any API has, are refused', () => {
  const prompts = times(129, () => 'hi');
  expect(refusal(OPENAI[1] ?? SCORE, { prompt: prompts })).toMatchObject({
    code: 'batch_not_supported',
    options: { asked: 129, allowed: 128 },
  });
  expect(refusal(CONTINUES, { input_data: prompts })?.code).toBe('batch_not_supported');
  for (const route of [...SAMPLED, TOKENIZE])
    expect(refusal(route, route.body(members(130, 'field', 1)))?.message).toMatch(
      /^the body has \d+ fields; the limit/,
    );
  expect(refusal(SCORE, SCORE.body(members(130, 'field', 1)))?.options.param).toBe('input_data.parameters');
});

test('N3: a schema of vLLM’s maximum depth passes, a deeper one does not', () => {
  const format = (levels: number): Fields => ({ response_format: schema(nested(levels)) });
  const [chat] = OPENAI;
  if (chat === undefined) throw new Error('no route');
  // The body, the field, the format and the schema's levels count as JSON levels, whose limit is also 64.
  expect(refusal(chat, chat.body(format(60)))).toBeUndefined();
  expect(refusal(chat, chat.body(format(70)))?.options.allowed).toBe(64);
});

test.each([
  ['a field that vLLM would drop', { choice: ['a'], choices: ['b'] }, 'structured_outputs.choices'],
  ['no constraint', {}, 'structured_outputs'],
  ['two forms together', { choice: ['a'], regex: 'a' }, 'structured_outputs'],
  ['an open bracket', { regex: '(a' }, 'structured_outputs.regex'],
  ['an open set', { regex: '[a-z' }, 'structured_outputs.regex'],
  ['a NUL', { regex: 'a\0' }, 'structured_outputs.regex'],
  ['no grammar', { grammar: ' \n' }, 'structured_outputs.grammar'],
  ['a text that is not JSON', { json: '{' }, 'structured_outputs.json'],
  ['JSON that is not a schema', { json: '5' }, 'structured_outputs.json'],
  ['a list as schema', { json: [] }, 'structured_outputs.json'],
  ['an empty enum', { json: { enum: [] } }, 'structured_outputs.json.enum'],
  ['an external reference', { json: { $ref: 'http://10.0.0.1/' } }, 'structured_outputs.json.$ref'],
  ['a negative length', { json: { minLength: -1 } }, 'structured_outputs.json.minLength'],
  [
    'an invalid pattern',
    { json: { properties: { a: { pattern: 'a)' } } } },
    'structured_outputs.json.properties.a.pattern',
  ],
  ['no JSON object', { json_object: false }, 'structured_outputs.json_object'],
  ['no choice', { choice: [] }, 'structured_outputs.choice'],
  ['a tag that is not JSON', { structural_tag: 'x' }, 'structured_outputs.structural_tag'],
])('N17: %s is the caller’s mistake, on every route', (_what, structured_outputs, param) => {
  for (const route of SAMPLED)
    expect(refusal(route, route.body({ structured_outputs }))).toMatchObject({
      code: 'invalid_request',
      options: { param },
    });
});

test.each([
  [{ type: 'text', schema: {} }, 'response_format.schema'],
  [{ type: 'json_object', schema: {} }, 'response_format.schema'],
  [{ type: 'json_schema', json_schema: { name: 's', schema: {}, shape: {} } }, 'response_format.json_schema.shape'],
])('N3: response_format %j has a field that an engine would ignore', (response_format, param) => {
  for (const route of OPENAI) expect(refusal(route, route.body({ response_format }))?.options.param).toBe(param);
});

test.each([
  {
    json: {
      $defs: { a: { type: 'string', pattern: '^\\d{4}-\\d{2}$' } },
      properties: { pattern: { $ref: '#/$defs/a' } },
    },
  },
  { json: '{"type":"object","properties":{"enum":{"type":"string"}}}', disable_any_whitespace: true },
  { regex: '\\(\\[(?:a|b)+?[)\\]]{2,}', whitespace_pattern: null },
  { grammar: 'root ::= "(" [^")]* ")" # it\'s (fine\n' },
  { grammar: 'start: NUMBER "+" NUMBER\n%import common.NUMBER' },
  { choice: ['', 'yes'], json: null },
  { json_object: true },
  { structural_tag: '{"type":"structural_tag","format":{"type":"json_schema","json_schema":{}}}' },
])('N17: %j is accepted', (structured_outputs) => {
  for (const route of SAMPLED) expect(refusal(route, route.body({ structured_outputs }))).toBeUndefined();
});

test('N17: vLLM’s older names are refused, and the refusal gives the current one', () => {
  for (const route of OPENAI)
    expect(refusal(route, route.body({ guided_regex: 'a' }))).toMatchObject({
      code: 'unsupported_parameter',
      message: expect.stringContaining('structured_outputs'),
    });
});

const MANY = 100_000;
const HOSTILE: Readonly<Record<string, unknown>> = {
  texts: times(MANY, String),
  numbers: times(MANY, (index) => index),
  objects: times(MANY / 2, (index) => ({ index })),
  fields: members(MANY, '1', 'x'),
  'a text': 'é'.repeat(4_000_000),
  'a text that is cut': `${'a'.repeat(4_000_000)}\ud83d`,
  'a schema': schema({ properties: members(MANY, 'p', true) }),
  'an enum': schema({ enum: times(MANY, String) }),
  messages: times(MANY / 3, () => ({ role: 'user', content: '' })),
  parts: [{ role: 'user', content: times(MANY / 3, () => ({ type: 'text', text: '' })) }],
  calls: [{ role: 'assistant', content: '', tool_calls: times(MANY / 2, () => ({})) }],
  tools: times(MANY / 5, () => ({ type: 'function', function: { name: 'f' } })),
  'a regex': { regex: '(a|b?)'.repeat(600_000) },
  'a grammar': { grammar: 'root ::= "a" (b c)?\n'.repeat(200_000) },
  'a comment of a grammar': { grammar: `${'#'.repeat(65_535)}\r` },
  choices: { choice: times(MANY, String) },
};
const ANY_FIELD =
  'stop stop_token_ids bad_words allowed_token_ids logprob_token_ids logit_bias eos_token_id response_format ' +
  'structured_outputs repetition_detection tools tool_choice messages prompt input text include reasoning instructions ' +
  'metadata user model modalities verbosity stream stream_options prediction functions guided_json unknown';

test.each(Object.keys(HOSTILE))('N3: %s in any field of any route: less than 50 ms of CPU', (what) => {
  for (const route of [...SAMPLED, TOKENIZE, SCORE, CONTINUES])
    for (const field of ANY_FIELD.split(' ')) {
      const body = route.body({ [field]: HOSTILE[what] });
      // The best of several runs, because compilation and garbage collection don't count.
      let best = Infinity;
      for (let turn = 0; turn < 5 && best >= 25; turn += 1) {
        const begun = process.cpuUsage();
        const failure = refusal(route, body);
        const { user, system } = process.cpuUsage(begun);
        best = Math.min(best, (user + system) / 1_000);
        expect([route.name, field, failure?.code]).not.toEqual([route.name, field, 'internal']);
        expect(failure?.message.length ?? 0).toBeLessThan(600);
      }
      expect([route.name, field, best < 50 || best < asManyHere(50) ? 'quick' : best]).toEqual([
        route.name,
        field,
        'quick',
      ]);
    }
});
