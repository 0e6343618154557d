import { z } from 'zod';
import type { ApiFacts } from '../dialects/description.ts';
import type { Dialect } from '../dialects/dialect.ts';
import type { Dialects, ServedRoute } from '../dialects/index.ts';
import { LIMITS } from '../dialects/reading/limits.ts';
import { messageSchema } from '../dialects/reading/message-schema.ts';
import { absentPaths, type AbsentPath } from './absent-paths.ts';
import { failureResponses } from './failures.ts';
import { getPaths, READ_SCHEMAS } from './get-paths.ts';
import { parameters, RESPONSE_HEADERS } from './headers.ts';
import type { Paths } from './operation.ts';
import { describeRoutes, routePaths } from './route-paths.ts';

/** The routes in the document. */
export interface Served {
  readonly routes: readonly ServedRoute[];
  readonly dialects: Dialects;
  readonly absent: readonly AbsentPath[];
}

/** `GET /openapi.json`: every public route in OpenAPI 3.1, with the names and limits of this gateway. */
export function openApiDocument(
  facts: ApiFacts,
  { routes, dialects, absent }: Served,
): Readonly<Record<string, unknown>> & { readonly paths: Paths } {
  const message = messageSchema(facts);
  const described = describeRoutes(routes, dialects, { facts, message });
  const all = <T>(of: (one: (typeof described)[number]) => Readonly<Record<string, T>> | undefined) =>
    Object.assign({}, ...described.map(of)) as Record<string, T>;
  const tags = new Set([...routes.map(({ tag }) => tag), 'Documents', 'Not served']);
  return {
    openapi: '3.1.0',
    info: { title: 'Penstock', version: '1', description: describe(facts) },
    tags: [...tags].map((name) => ({ name })),
    security: [{ bearer: [] }, { apiKey: [] }],
    paths: { ...absentPaths(absent), ...getPaths(dialects), ...Object.fromEntries(described.flatMap(routePaths)) },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'api-key' },
        ...all(({ dialect }) => keySchemes(dialect)),
      },
      parameters: { ...parameters(facts), ...all(({ description }) => description.parameters) },
      headers: RESPONSE_HEADERS,
      responses: all(({ dialect }) => failureResponses(dialect)),
      schemas: jsonSchemas(
        {
          Message: message,
          ...all(({ description }) => description.schemas),
          ...READ_SCHEMAS,
        },
        'draft-2020-12',
      ),
    },
  };
}

function keySchemes({ keyHeaders = [] }: Dialect): Record<string, object> {
  return Object.fromEntries(keyHeaders.map((name) => [name, { type: 'apiKey', in: 'header', name }]));
}

/** Values that count as absent where a field may be empty (`isSet` in `dialects/reading/fields.ts`). */
const EMPTY: readonly z.core.JSONSchema.JSONSchema[] = [
  { type: 'string', maxLength: 0 },
  { type: 'array', maxItems: 0, items: {} },
  { type: 'object', additionalProperties: { enum: [null] } },
];

/** Schemas by name; each refers to the others by name. */
export function jsonSchemas(
  schemas: Readonly<Record<string, z.ZodType>>,
  target: 'draft-2020-12' | 'openapi-3.0',
): Record<string, object> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, {
    target,
    io: 'input',
    unrepresentable: 'any',
    uri: (id) => `#/components/schemas/${id}`,
    override: ({ jsonSchema }) => {
      const { mayBeEmpty, anyOf, ...rest } = jsonSchema;
      if (mayBeEmpty !== true) return;
      for (const name of Object.keys(jsonSchema)) delete jsonSchema[name];
      Object.assign(jsonSchema, anyOf === undefined ? {} : rest, { anyOf: [...(anyOf ?? [rest]), ...EMPTY] });
    },
  });
  // The document itself declares the schema dialect.
  const own = ([key]: [string, unknown]): boolean => key !== '$schema' && key !== '$id';
  return Object.fromEntries(
    Object.entries(made.schemas).map(([name, schema]) => [
      name,
      Object.fromEntries(Object.entries(schema).filter(own)),
    ]),
  );
}

function describe({ cards, body: { limitBytes, textBytes, depth, values, texts } }: ApiFacts): string {
  const rows = cards.map(({ name, task, limits, responsible_use: use }) => {
    const { context_tokens: context, max_output_tokens: most, images_per_conversation: images, tools, batch } = limits;
    const numbers = [`${images} image(s)`, `${context} tokens`, `answers of up to ${most} tokens`];
    return `- ${name} (${task}): ${numbers.join(', ')}; ${tools ? 'tools' : 'no tools'}, ${batch ? 'batches' : 'no batches'}${use === undefined ? '' : `. ${use.notice} See ${use.link}`}`;
  });
  const most = Object.values(LIMITS).map((one) => `- ${one.of}: ${one.most}`);
  const structure = `${depth} levels of nesting, ${values} elements of lists and objects, ${texts} texts including names of fields`;
  const body = `A body may have ${limitBytes} bytes, ${textBytes} of them outside its pictures, and at most ${structure}. Further limits:`;
  return `Models of the Azure catalog behind the APIs that callers already use.\n\n${rows.join('\n')}\n\n${body}\n\n${most.join('\n')}`;
}
