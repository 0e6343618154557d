import { expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Registry } from 'prom-client';
import { z } from 'zod';
import { FAILURES } from '../../../gateway/failure.ts';
import { parseCatalog } from '#contract/model-card';
import { Idempotency } from '../../../gateway/queue/idempotency.ts';
import { createAzureScore } from '../../../gateway/dialects/score/score.ts';
import { createRoutes, ROUTES } from '../../../gateway/http/routes.ts';
import { BodyMemory } from '../../../gateway/intake/body-memory.ts';
import { createMetrics } from '../../../gateway/metrics.ts';
import { columnOf, type Route } from '../../../gateway/dialects/reading/request-fields.ts';
import { orEmpty } from '../../../gateway/dialects/reading/fields.ts';
import { jsonSchemas, openApiDocument } from '../../../gateway/openapi/document.ts';
import { apiFacts } from '../../../gateway/openapi/facts.ts';
import { STAGES, UNDOCUMENTED } from '../../../gateway/openapi/failures.ts';
import { scoreDocument } from '../../../gateway/openapi/score-document.ts';
import { Departure } from '../../../gateway/http/departure.ts';
import { DIALECTS, documentOf, factSources } from '../../support/api-document.ts';
import { phi3Card } from '../../support/phi3-card.ts';
import { noAudit, silentLog } from '../../support/silent-log.ts';

/** Pages for people and their data, which are not part of the API. */
const PAGE = /^get \/(docs|console)(\/|$)/;
const ref = z.object({ $ref: z.string() });
const text = (value: unknown): string => JSON.stringify(value);

test('exactly the gateway’s routes are in the document, with their methods', () => {
  const router = createRoutes({
    ...factSources(),
    body: { limitBytes: 1, memory: new BodyMemory(1, 1) },
    clock: () => 0,
    log: silentLog,
    audit: noAudit,
    usage: { refused: () => {}, leftQueue: () => {} },
    metrics: createMetrics(new Registry(), {
      models: [],
      depth: () => Promise.resolve(0),
      outlook: () => Promise.reject(new Error('none')),
      lagMs: () => 0,
      auditLinesLost: () => 0,
    }),
    departure: new Departure(() => 0),
    begunAt: () => undefined,
    authenticate: () => {},
    prepare: () => Promise.reject(new Error('no')),
    safety: undefined,
    deliver: () => Promise.resolve(),
    limits: { charge: () => Promise.reject(new Error('no')) },
    posts: {
      isOffered: () => false,
      isFree: () => Promise.resolve(false),
      answer: () => Promise.reject(new Error('no')),
      attach: () => Promise.reject(new Error('no')),
      cancel: () => Promise.reject(new Error('no')),
    },
    kept: {
      backgroundTimeoutMs: 1,
      logBytes: 1,
      answer: () => Promise.reject(new Error('no')),
      find: () => Promise.reject(new Error('no')),
      read: () => '',
      stream: () => Promise.reject(new Error('no')),
      cancel: () => Promise.reject(new Error('no')),
      stop: () => Promise.reject(new Error('no')),
      list: () => Promise.reject(new Error('no')),
      remove: () => Promise.reject(new Error('no')),
      inputItems: () => Promise.reject(new Error('no')),
      storedOf: () => undefined,
      get earlier(): never {
        throw new Error('no');
      },
      get items(): never {
        throw new Error('no');
      },
    },
    dialects: DIALECTS,
    idempotency: new Idempotency(new Redis({ lazyConnect: true }), new Redis({ lazyConnect: true }), 1),
    requestTimeoutMs: 1,
    scoreTimeoutMs: 1,
    readyEngines: () => 0,
    console: {
      page: { html: '', serveAsset: () => {} },
      live: { open: () => () => {} },
      hosts: [],
      keyed: true,
      readyEngines: () => 0,
      usageRows: () => Promise.resolve([]),
      usageDays: 1,
    },
  });
  const routes = router.stack.flatMap(({ route }) =>
    (route?.stack ?? [])
      .filter(({ method }) => ['get', 'post', 'delete'].includes(method))
      .map(({ method }) => `${method} ${(route?.path ?? '').replace(/[*:](\w+)/g, '{$1}')}`),
  );
  const documented = Object.entries(documentOf().paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  const served = [...new Set(routes)].filter((route) => !PAGE.test(route));
  // Always refused, because no deployment has embeddings.
  const answered = served.filter((route) => !route.endsWith('/embeddings'));
  expect(documented.toSorted()).toEqual(answered.toSorted());
});

test('every failure is documented, or belongs to no operation', () => {
  const told = new Set([...Object.values(STAGES).flat(), ...UNDOCUMENTED]);
  expect(Object.keys(FAILURES).filter((code) => ![...told].some((known) => known === code))).toEqual([]);
});

test('every reference in the document resolves', () => {
  const document = documentOf();
  for (const [, at = ''] of text(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const found = at
      .split('/')
      .reduce<unknown>((value, key) => z.record(z.string(), z.unknown()).parse(value)[key], document);
    expect([at, found]).not.toEqual([at, undefined]);
  }
  expect(ref.safeParse(document['paths']).success).toBe(false);
});

test('it has the names, aliases, deployments and limits of the served models', () => {
  const card = phi3Card();
  const catalog = parseCatalog([{ file: 'a.yaml', value: card }], [['prod', card.name]]);
  const shown = text(documentOf(factSources(catalog)));
  expect(shown).toContain(text([card.name, ...card.aliases, 'prod']));
  expect(shown).toContain(`"maximum":${card.limits.max_output_tokens}`);
  const clamped = { ...factSources(catalog), policy: { maxTokens: 'clamp' as const, maxChoices: 4 } };
  expect(text(documentOf(clamped))).not.toContain(`"maximum":${card.limits.max_output_tokens}`);
});

test('a key without access to a model does not see its name', () => {
  const card = phi3Card();
  const other = { ...card, name: 'Secret', aliases: ['hidden'] };
  const catalog = parseCatalog([
    { file: 'a.yaml', value: card },
    { file: 'b.yaml', value: other },
  ]);
  const shown = text(documentOf(factSources(catalog), ({ name }) => name === card.name));
  expect(shown).toContain(card.name);
  expect(shown).not.toMatch(/Secret|hidden/);
  expect(() => documentOf(factSources(catalog), () => false)).not.toThrow();
});

test('prompts on /score are documented if a card continues them, several if it accepts a batch', () => {
  const card = { ...phi3Card(), task: 'text-generation' as const };
  const one = text(documentOf(factSources(parseCatalog([{ file: 'a.yaml', value: card }]))));
  expect(one).toContain('"params"');
  const batch = { ...card, limits: { ...card.limits, batch: true } };
  const many = text(documentOf(factSources(parseCatalog([{ file: 'a.yaml', value: batch }]))));
  expect([one, many].map((shown) => /"maxItems":1[,}]/.test(shown))).toEqual([true, false]);
});

test('strict-compat: an empty 200 is documented instead of 424', () => {
  const score = createAzureScore({ deploymentName: 'penstock', errors: 'strict-compat' });
  const document = openApiDocument(
    apiFacts(factSources(), () => true),
    { routes: ROUTES, dialects: { ...DIALECTS, score }, absent: [] },
  );
  expect(text(document.paths['/score'])).toContain('HiddenScoreAnswer');
});

test('only the schema of /score has its parameters, with their ranges', () => {
  const shown = text(
    scoreDocument(
      apiFacts(factSources(), () => true),
      DIALECTS.score,
    ),
  );
  for (const name of ['max_new_tokens', 'do_sample', 'temperature', 'top_p', 'stop', 'stop_token_ids'])
    expect(shown).toContain(`"${name}"`);
  expect(shown).toMatch(/"temperature":\{[^}]*"type":"number","minimum":0,"maximum":2/);
  expect(
    text(
      scoreDocument(
        apiFacts(factSources(), () => false),
        DIALECTS.score,
      ),
    ),
  ).toContain('"title":"Penstock"');
});

/** Where a component's fields are, and which column of the table reads them. */
const FIELDS: readonly (readonly [component: string, column: Route, path: readonly string[]])[] = [
  ['ChatRequest', 'chat', []],
  ['DeploymentChatRequest', 'chat', []],
  ['InferenceChatRequest', 'inference-chat', []],
  ['CompletionRequest', 'completions', []],
  ['DeploymentCompletionRequest', 'completions', []],
  ['InferenceCompletionRequest', 'inference-completions', []],
  ['ResponsesRequest', 'responses', []],
  ['TokenizeRequest', 'tokenize', ['anyOf', '0']],
  ['ScoreRequest', 'score-pictures', ['properties', 'input_data', 'properties', 'parameters', 'anyOf', '0']],
];
test.each(FIELDS)(
  '%s: the document has the fields that the route reads or lists, and none that it refuses',
  (name, route, path) => {
    const { schemas } = z.object({ schemas: z.record(z.string(), z.unknown()) }).parse(documentOf()['components']);
    const at = path.reduce<unknown>(
      (value, key) => (Array.isArray(value) ? value[Number(key)] : z.record(z.string(), z.unknown()).parse(value)[key]),
      schemas[name],
    );
    const { properties } = z.object({ properties: z.record(z.string(), z.unknown()) }).parse(at);
    const read = [...columnOf(route)].flatMap(([field, { kind }]) => (kind === 'refused' ? [] : [field]));
    expect(Object.keys(properties).toSorted()).toEqual(read.toSorted());
  },
);

let whole: ReturnType<typeof documentOf> | undefined;
/** The schema of a field in every form of a component. */
function documented(component: string, field: string): z.core.JSONSchema.JSONSchema[] {
  whole ??= documentOf();
  const { schemas } = z.object({ schemas: z.record(z.string(), z.unknown()) }).parse(whole['components']);
  const form = z.object({ properties: z.record(z.string(), z.looseObject({})) });
  const all = z.union([
    form.transform((one) => [one]),
    z.object({ anyOf: z.array(form) }).transform((one) => one.anyOf),
  ]);
  return all.parse(schemas[component]).map(({ properties }) => properties[field] ?? {});
}
const hi = [{ role: 'user', content: 'hi' }];
test.each([
  ['TokenizeRequest', 'priority', DIALECTS.tokenize, { prompt: 'hi' }],
  ['ChatRequest', 'verbosity', DIALECTS.openai, { messages: hi }],
  ['AnthropicRequest', 'thinking', DIALECTS.messages, { messages: hi, max_tokens: 1 }],
  ['AnthropicCountRequest', 'thinking', DIALECTS.countTokens, { messages: hi }],
] as const)(
  '%s: %s may be empty in the document too, because the route takes that as absent',
  (component, field, dialect, body) => {
    const schemas = documented(component, field);
    for (const empty of [null, '', [], {}, { type: null }]) {
      expect(() => dialect.parse({ ...body, [field]: empty })).not.toThrow();
      for (const schema of schemas)
        expect([empty, z.fromJSONSchema(schema).safeParse(empty).success]).toEqual([empty, true]);
    }
  },
);

test('a seed has 64 bits in the document too', () => {
  // The intake hands a large number over as its digits.
  expect(DIALECTS.openai.parse({ messages: hi, seed: String(2n ** 63n - 1n) })).toMatchObject({ sampling: {} });
  for (const component of ['ChatRequest', 'CompletionRequest', 'InferenceChatRequest', 'InferenceCompletionRequest']) {
    const shown = text(documented(component, 'seed'));
    expect(shown).toContain('{"type":"integer","format":"int64"}');
  }
});

test('a field that may be empty says so in the document, as one that may be null', () => {
  const schema = jsonSchemas(
    { Plain: z.object({ a: orEmpty({ schema: z.literal('x'), form: 'x' }).schema }) },
    'draft-2020-12',
  );
  const { anyOf } = z
    .object({ properties: z.object({ a: z.strictObject({ anyOf: z.array(z.unknown()) }) }) })
    .parse(schema['Plain']).properties.a;
  expect(anyOf).toEqual([
    { type: 'string', const: 'x' },
    { type: 'null' },
    { type: 'string', maxLength: 0 },
    { type: 'array', maxItems: 0, items: {} },
    { type: 'object', additionalProperties: { enum: [null] } },
  ]);
});
