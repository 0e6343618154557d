import { z } from 'zod';
import type { Dialect } from '../dialects/dialect.ts';
import { LIMITS } from '../dialects/reading/limits.ts';
import { absentPaths, type AbsentPath } from './absent-paths.ts';
import { answerSchemas } from './answer-schemas.ts';
import { azureInferencePaths } from './azure-inference-paths.ts';
import { azureOpenaiPaths } from './azure-openai-paths.ts';
import type { ApiFacts } from './facts.ts';
import { failureResponses } from './failures.ts';
import { parameters, RESPONSE_HEADERS } from './headers.ts';
import { healthPaths } from './health-paths.ts';
import { modelsWithoutBase, openaiPaths, responsesPaths, tokenizePaths } from './openai-paths.ts';
import { operation, type Paths } from './operation.ts';
import { requestSchemas } from './request-schemas.ts';
import { scorePaths } from './score-paths.ts';

/** The API shapes that the document tells of. */
export interface DocumentDialects {
  readonly openai: Dialect;
  readonly responses: Dialect;
  /** absent: `/tokenize` is switched off */
  readonly tokenize: Dialect | undefined;
  readonly score: Dialect;
  readonly inference: Dialect;
  readonly azureOpenai: Dialect;
  readonly azureOpenaiResponses: Dialect;
}

/** `GET /openapi.json`: every public route in OpenAPI 3.1, with the names and limits of what is served here. */
export function openApiDocument(
  facts: ApiFacts,
  dialects: DocumentDialects,
  absent: readonly AbsentPath[],
): Readonly<Record<string, unknown>> & { readonly paths: Paths } {
  const { openai, responses: stateless, tokenize, score, inference, azureOpenai, azureOpenaiResponses } = dialects;
  const responses = Object.assign({}, ...[openai, score, inference, azureOpenai].map(failureResponses)) as object;
  return {
    openapi: '3.1.0',
    info: { title: 'Penstock', version: '1', description: describe(facts) },
    tags: ['OpenAI', 'Azure ML', 'Azure AI inference', 'Azure OpenAI', 'Documents', 'Not served'].map((name) => ({
      name,
    })),
    security: [{ bearer: [] }, { apiKey: [] }],
    paths: {
      ...absentPaths(absent),
      ...openaiPaths(facts, openai),
      ...responsesPaths(facts, stateless, RESPONSES),
      ...responsesPaths(facts, azureOpenaiResponses, AZURE_RESPONSES),
      ...(tokenize === undefined ? {} : tokenizePaths(facts, tokenize)),
      ...healthPaths(openai),
      ...modelsWithoutBase(openai),
      ...scorePaths(facts, score),
      ...azureInferencePaths(facts, inference),
      ...azureOpenaiPaths(facts, azureOpenai),
      '/openapi.json': {
        get: operation(openai, {
          id: 'document',
          tag: 'Documents',
          summary: 'This document',
          answer: 'Document',
          stages: [],
        }),
      },
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'api-key' },
      },
      parameters: parameters(facts),
      headers: RESPONSE_HEADERS,
      responses,
      schemas: jsonSchemas({ ...requestSchemas(facts), ...answerSchemas(facts), ...DOCUMENTS }, 'draft-2020-12'),
    },
  };
}

const AZURE = { tag: 'Azure OpenAI', parameters: ['api-version'] } as const;
const RESPONSES = [{ base: '/v1', tag: 'OpenAI', prefix: '' }];
const AZURE_RESPONSES = [
  { base: '/openai/v1', prefix: 'azure_v1_', ...AZURE },
  { base: '/openai', prefix: 'azure_', ...AZURE },
];
const DOCUMENTS = { Document: z.looseObject({ openapi: z.string(), paths: z.looseObject({}) }) };

/** Schemas by name, each referring to the others by theirs. */
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
  });
  // Whose schema it is and in which dialect stands above: in the document itself.
  const own = ([key]: [string, unknown]): boolean => key !== '$schema' && key !== '$id';
  return Object.fromEntries(
    Object.entries(made.schemas).map(([name, schema]) => [
      name,
      Object.fromEntries(Object.entries(schema).filter(own)),
    ]),
  );
}

function describe({ cards, body: { limitBytes, textBytes, depth, values, texts } }: ApiFacts): string {
  const rows = cards.map(({ name, task, limits }) => {
    const { context_tokens: context, max_output_tokens: most, images_per_conversation: images, tools, batch } = limits;
    const numbers = [`${String(images)} image(s)`, `${String(context)} tokens`, `${String(most)} of an answer`];
    return `- ${name} (${task}): ${numbers.join(', ')}; ${tools ? 'tools' : 'no tools'}, ${batch ? 'batches' : 'no batches'}`;
  });
  const most = Object.values(LIMITS).map((one) => `- ${one.of}: ${String(one.most)}`);
  const structure = `${String(depth)} levels, ${String(values)} elements of lists and objects, ${String(texts)} texts and names of fields`;
  const body = `A body has at most ${String(limitBytes)} bytes, ${String(textBytes)} outside its pictures; at most ${structure}. The most of each:`;
  return `Models of the Azure catalog behind the APIs that people already call.\n\n${rows.join('\n')}\n\n${body}\n\n${most.join('\n')}`;
}
