import { expect, test } from '@jest/globals';
import type { ChatRequest } from '../../../../gateway/request/chat.ts';
import { Failure, toFailure } from '../../../../gateway/failure.ts';
import type { Dialect, Said } from '../../../../gateway/dialects/dialect.ts';
import * as inside from '../../../../gateway/dialects/reading/message-fields.ts';
import {
  REQUEST_FIELDS,
  columnOf,
  type Route,
  type Verdict,
} from '../../../../gateway/dialects/reading/request-fields.ts';
import { engineBody } from '../../../../gateway/request/engine-body.ts';
import { PictureBytes } from '../../../../gateway/intake/picture-bytes.ts';
import { DIALECTS } from '../../../support/api-document.ts';
import { bodiesOf, fieldOf, fieldRows, type FieldRow } from '../../../support/field-rows.ts';
import { phi3Card } from '../../../support/phi3-card.ts';

type Body = Readonly<Record<string, unknown>>;
type Outcome = 'served' | 'done anyway' | 'without effect' | 'refused' | 'refused, not named' | 'lost';

interface Way {
  readonly name: string;
  readonly dialect: Dialect;
  readonly said?: Said;
  /** a body in the route's form */
  readonly wrap?: (body: Body) => Body;
  readonly rows: string;
  /** fields with a verdict per value, or at another place on this route */
  readonly elsewhere?: RegExp;
  readonly column: Route;
}
const PASSED = { headers: { 'extra-parameters': 'pass-through' } };
const {
  openai,
  completions,
  responses,
  tokenize,
  azureOpenai,
  azureOpenaiCompletions,
  inference,
  inferenceCompletions,
  score,
} = DIALECTS;

/** Every route, with its rows of the fixture. */
const WAYS: readonly Way[] = [
  { name: '/v1/chat/completions', dialect: openai, rows: 'chat', column: 'chat' },
  { name: 'Azure OpenAI, chat', dialect: azureOpenai, rows: 'chat', column: 'chat' },
  { name: 'Azure inference, chat, passed through', dialect: inference, said: PASSED, rows: 'chat', column: 'chat' },
  {
    name: '/score',
    dialect: score,
    said: { headers: {}, card: phi3Card() },
    wrap: asScore,
    elsewhere: /^messages/,
    rows: 'chat',
    column: 'score-pictures',
  },
  { name: '/v1/completions', dialect: completions, rows: 'completions', column: 'completions' },
  { name: 'Azure OpenAI, completions', dialect: azureOpenaiCompletions, rows: 'completions', column: 'completions' },
  {
    name: 'Azure inference, completions, passed through',
    dialect: inferenceCompletions,
    said: PASSED,
    rows: 'completions',
    column: 'completions',
  },
  { name: '/v1/responses', dialect: responses, rows: 'responses', column: 'responses', elsewhere: /^include/ },
  { name: '/tokenize', dialect: tokenize, rows: 'tokenize', column: 'tokenize' },
];

/** Fields of a chat other than its messages belong to the parameters. */
function asScore({ messages: input_string, ...parameters }: Body): Body {
  return { input_data: { input_string, parameters } };
}

const ROWS = fieldRows();
const messages = [{ role: 'user', content: 'hi' }];
const PLAIN: Readonly<Record<string, Body>> = {
  chat: { messages },
  completions: { prompt: 'hi' },
  responses: { input: messages },
  tokenize: { messages },
};

/** Values that equal the default behaviour, besides those in the table. */
const ANYWAY = [
  /^best_of as number$/,
  /^stream_options as object$/,
  /^(stream|store|background|stream_options\.include_usage|stream_options\.continuous_usage_stats|stream_options\.include_obfuscation) as false$/,
  /^input\[\]\(role=\w+\)\.(type as "message"|status as "completed")$/,
  /^input.*\.detail as "auto"$/,
];

/** Effect of a row's field: the difference between the requests with and without it. */
function send(way: Way, row: FieldRow): Outcome {
  const bodies = bodiesOf(row, row.route === 'tokenize' && row.place === 'prompt' ? {} : (PLAIN[row.route] ?? {}));
  const request = parsed(way, bodies.with);
  if (request instanceof Failure) return isNamed(request.options.param ?? '', row) ? 'refused' : 'refused, not named';
  if (request.ignored.some((name) => tells(name, row))) return 'without effect';
  const without = parsed(way, bodies.without);
  if (without instanceof Failure || view(without) !== view(request)) return 'served';
  const isFixed = columnOf(way.column).get(fieldOf(row))?.kind === 'fixed';
  return isFixed || ANYWAY.some((one) => one.test(`${row.place} as ${row.form}`)) ? 'done anyway' : 'lost';
}

function parsed({ dialect, said, wrap = (body) => body }: Way, body: Body): ChatRequest | Failure {
  try {
    return dialect.parse(wrap(body), said);
  } catch (error) {
    return toFailure(error);
  }
}

/** The parts of a request that the engine, the queue and the relay get. */
function view(request: ChatRequest): string {
  const terms = { model: request.model ?? 'm', maxTokens: request.maxTokens ?? 99, cacheSalt: 's' };
  return `${engineBody(request, new PictureBytes(), terms).join('')} ${request.includeUsage} ${request.serviceTier} ${JSON.stringify(request.keeping)}`;
}

/** Whether a name in `x-penstock-ignored` is that of a row or of its parent. */
function tells(name: string, { place, form }: FieldRow): boolean {
  const names = place.replace(/\[\]|\([^)]*\)/g, '').split('.');
  const value = form.startsWith('"') ? `.${JSON.parse(form)}` : '';
  const told = names.flatMap((one, index) => [
    index === 0 ? one : `${names[index - 1] ?? ''}.${one}`,
    `${one}${value}`,
    `parameters.${one}`,
  ]);
  return told.includes(name);
}

/** A refusal names the row's field, or the field that selects a variant above it. */
function isNamed(param: string, { place }: FieldRow): boolean {
  const plain = (path: string) => path.replace(/\[\d*\]|\([^)]*\)/g, '');
  const at = plain(param).replace('input_data.parameters.', '').replace('input_data.input_string', 'messages');
  return `${plain(place)}.`.startsWith(`${at.replace(/\.(type|role)$/, '')}.`) || at.startsWith(`${plain(place)}.`);
}

const rowsOf = (route: string): FieldRow[] => ROWS.filter((row) => row.route === route);
const EACH = WAYS.map((way) => [way.name, way] as const);

test.each(EACH)(
  'E5: %s: every field, part and form is served, listed as without effect, or refused by name',
  (_n, way) => {
    const outcomes = rowsOf(way.rows).map((row) => `${row.place} as ${row.form}: ${send(way, row)}`);
    expect(outcomes.filter((outcome) => /: (lost|refused, not named)$/.test(outcome))).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(30);
  },
);

/** Possible outcomes of each verdict; a value of the wrong type is refused. */
const MAY: Readonly<Record<Verdict['kind'], readonly Outcome[]>> = {
  own: ['served', 'done anyway', 'refused'],
  served: ['served', 'refused'],
  fixed: ['done anyway', 'refused'],
  ignored: ['without effect'],
  refused: ['refused'],
};

test.each(EACH)('E5: %s: a field has the effect that the table says', (_n, way) => {
  const rows = rowsOf(way.rows).filter(({ place }) => !place.includes('.') && !way.elsewhere?.test(place));
  for (const field of new Set(rows.map(fieldOf))) {
    const verdict = columnOf(way.column).get(field);
    const kind = verdict?.kind ?? 'ignored';
    const outcomes = rows.filter((row) => fieldOf(row) === field).map((row) => send(way, row));
    expect([field, kind, outcomes.filter((outcome) => !MAY[kind].includes(outcome))]).toEqual([field, kind, []]);
    // The rows send 1 as a number.
    const isZero = verdict?.kind === 'fixed' && verdict.field.schema.safeParse(0).success;
    const isTaken = isZero || outcomes.some((outcome) => outcome !== 'refused');
    expect([field, kind, isTaken]).toEqual([field, kind, kind !== 'refused']);
  }
});

const ROUTES = ['chat', 'completions', 'responses', 'tokenize'] as const;

/** Fields of the table that are not in the fixture, with the clients that send or sent them. */
const FURTHER: Readonly<Record<(typeof ROUTES)[number], readonly string[]>> = {
  // Azure's samples; Azure OpenAI's own data; fields of another route, which would change the answer; older vLLM's.
  chat: ['max_new_tokens', 'data_sources', 'prompt', 'input', 'instructions', 'max_output_tokens', /guided/.source],
  completions: ['max_new_tokens', 'max_completion_tokens', 'messages', 'tools', /guided/.source],
  responses: [
    'max_new_tokens',
    'max_completion_tokens',
    'max_tokens',
    'messages',
    'truncate_prompt_tokens',
    'truncation_side',
    /guided/.source,
  ],
  tokenize: [
    ...'tool_choice truncate_prompt_tokens truncation_side priority request_id cache_salt vllm_xargs'.split(' '),
    'kv_transfer_params',
    'ec_transfer_params',
    /guided/.source,
  ],
};

test.each(ROUTES)('E5: the fixture and the column %s of the table have the same fields', (route) => {
  const sent = new Set(rowsOf(route).map(fieldOf));
  const known = [...columnOf(route).keys()].filter(
    (name) => !FURTHER[route].includes(name.replace(/^guided_.*/, 'guided')),
  );
  expect(known.toSorted()).toEqual([...sent].toSorted());
  for (const name of FURTHER[route]) expect([name, sent.has(name)]).toEqual([name, false]);
});

test('E5: no field has two verdicts on a route', () => {
  for (const [name, cells] of Object.entries(REQUEST_FIELDS)) {
    const routes = cells.flatMap(([, ...of]) => of);
    expect([name, routes.toSorted()]).toEqual([name, [...new Set(routes)].toSorted()]);
  }
});

test('E5: Azure’s inference API has the fields of its own SDK, and refuses others by name', () => {
  const own = new Set(
    rowsOf('chat')
      .filter(({ sources }) => sources.includes('azure'))
      .map(fieldOf),
  );
  expect([...columnOf('inference-chat').keys()].toSorted()).toEqual([...own, 'max_new_tokens'].toSorted());
  const way: Way = { name: '', dialect: inference, rows: 'chat', column: 'chat' };
  const extras = rowsOf('chat').filter((row) => !own.has(fieldOf(row)) && row.form !== 'false');
  expect(extras.length).toBeGreaterThan(80);
  for (const row of extras) expect([row.place, send(way, row).startsWith('refused')]).toEqual([row.place, true]);
});

/** Tables of the fields in a message, and their places in the fixture. */
const WITHIN = [
  ['MESSAGE', inside.MESSAGE, 'chat', /^messages\[\](?:\(role=\w+\))?\.(\w+)/, ['reasoning_content', 'annotations']],
  ['PART', inside.PART, 'chat', /^messages\[\].*content\[\](?:\(type=(?:text|refusal|image_url)\))?\.(\w+)/, ['type']],
  ['IMAGE_URL', inside.IMAGE_URL, 'chat', /\(type=image_url\)\.image_url\.(\w+)/, ['uuid']],
  ['ITEM', inside.ITEM, 'responses', /^input\[\]\(role=\w+\)\.(\w+)/, ['role', 'cache_control']],
  ['INPUT_PART', inside.INPUT_PART, 'responses', /^input\[\].*\(type=input_text\)\.(\w+)/, ['type', 'cache_control']],
  [
    'INPUT_IMAGE',
    inside.INPUT_IMAGE,
    'responses',
    /^input\[\].*\(type=input_image\)\.(\w+)/,
    ['type', 'cache_control'],
  ],
  [
    'SAID_PART',
    inside.SAID_PART,
    'responses',
    /\(role=assistant\).*\(type=(?:output_text|refusal|input_text)\)\.(\w+)/,
    ['type', 'cache_control'],
  ],
] as const;

test.each(WITHIN)('E5: each field of the table %s is in the fixture', (_name, table, route, place, further) => {
  const sent = new Set([...rowsOf(route).flatMap((row) => place.exec(row.place)?.[1] ?? []), ...further]);
  expect(Object.keys(table).filter((name) => !sent.has(name))).toEqual([]);
});

/** Objects that a caller may leave out, by field: null, empty, and with each known member null. */
function emptyObjects(route: string): Body[] {
  const members = new Map<string, string[]>();
  for (const row of rowsOf(route)) {
    const [field = '', member] = row.place.replaceAll(/\(.*?\)/g, '').split('.');
    // vLLM refuses `structured_outputs` without a constraint.
    if (/^(messages|input|prompt|tools|structured_outputs)\b/.test(field) || field.endsWith('[]')) continue;
    if (member !== undefined || row.form === 'object')
      members.set(field, [...(members.get(field) ?? []), ...(member === undefined ? [] : [member])]);
  }
  return [...members].flatMap(([field, names]) =>
    [null, {}, Object.fromEntries(names.map((name) => [name, null]))].map((value) => ({ [field]: value })),
  );
}
/** Typed clients send an empty part of such an object as well. */
const EMPTY_PARTS: readonly (readonly [route: RegExp, empty: Body, same: Body])[] = [
  [/^responses$/, { text: { format: {} } }, {}],
  [/^responses$/, { text: { format: { type: null, schema: null }, verbosity: null } }, {}],
  [/^responses$/, { text: { format: {}, verbosity: 'medium' } }, { text: { verbosity: 'medium' } }],
  ...[{}, { name: null, schema: null, strict: null }, null].map(
    (json_schema) =>
      [
        /^(chat|completions)$/,
        { response_format: { type: 'text', json_schema } },
        { response_format: { type: 'text' } },
      ] as const,
  ),
  [/./, { model: '' }, {}],
];

test.each(EACH)('E2: %s: an object that is null, empty or full of nulls is an absent one', (_n, way) => {
  const plain = PLAIN[way.rows] ?? {};
  const cases = [
    ...emptyObjects(way.rows).map((empty): [Body, Body] => [empty, {}]),
    ...EMPTY_PARTS.filter(([route]) => way.name !== '/score' && route.test(way.rows)).map(
      ([, empty, same]): [Body, Body] => [empty, same],
    ),
  ];
  const shown = (body: Body): string => {
    const request = parsed(way, { ...plain, ...body });
    return request instanceof Failure ? request.message : view(request);
  };
  expect(cases.map(([empty]) => [empty, shown(empty)])).toEqual(cases.map(([empty, same]) => [empty, shown(same)]));
  expect(cases.length).toBeGreaterThan(way.rows === 'tokenize' ? 5 : 10);
});

const ANYTHING: readonly unknown[] = ['abc', '-', '1'.repeat(19), 5, -1.5, 1e300, true, [], [null], [{}], {}, { a: 1 }];
test.each(EACH)('E5: %s: no value of any field is an internal error', (_n, way) => {
  const plain = PLAIN[way.rows] ?? {};
  const broken = Object.keys(REQUEST_FIELDS).flatMap((name) =>
    ANYTHING.filter((value) => {
      const request = parsed(way, { ...plain, [name]: value });
      return request instanceof Failure && request.code === 'internal';
    }).map((value) => [name, value]),
  );
  expect(broken).toEqual([]);
});
