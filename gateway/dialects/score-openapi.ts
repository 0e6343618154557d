import { z } from 'zod';
import type { Catalog } from '#contract/model-card';
import { PASSED } from './score-parameters.ts';
import { SAMPLING } from './sampling.ts';

/**
 * The document behind `GET /swagger.json`, by which Azure's tools find out how `/score` is called (source: Azure ML's
 * inference servers, which publish one at this path). The parameters are those that the route reads, by the same schemas.
 */
export function scoreOpenApi({ cards }: Catalog): object {
  const only = cards.length === 1 ? cards[0] : undefined;
  const failed = (description: string) => ({ description, content: json({ $ref: '#/components/schemas/Failure' }) });
  return {
    openapi: '3.0.3',
    info: { title: only?.name ?? 'Penstock', version: only?.version ?? '1', description: 'Chat with pictures.' },
    paths: {
      '/': { get: { operationId: 'probe', responses: { 200: { description: 'the gateway serves requests' } } } },
      '/score': {
        post: {
          operationId: 'score',
          requestBody: { required: true, content: json({ $ref: '#/components/schemas/ScoreRequest' }) },
          responses: {
            200: { description: 'the answer', content: json({ $ref: '#/components/schemas/ScoreAnswer' }) },
            408: failed('the answer was not complete in time'),
            424: failed('refused or failed; the header ms-azureml-model-error-statuscode has the status itself'),
            429: { description: 'too many requests are waiting; see Retry-After' },
            503: failed('no engine or no queue just now; see Retry-After'),
          },
        },
      },
    },
    components: { schemas: schemas(only?.limits.max_output_tokens) },
  };
}

function schemas(mostTokens: number | undefined): Record<string, object> {
  const part = z.union([
    z.object({ type: z.literal('text'), text: z.string() }),
    z.object({
      type: z.literal('image_url'),
      image_url: z.object({ url: z.string().describe('http(s) URL, or data:image/png;base64,…') }),
    }),
  ]);
  const message = z.object({
    role: z.enum(['system', 'user', 'assistant']),
    content: z.union([z.string(), z.array(part)]),
  });
  const tokens = mostTokens === undefined ? z.int().min(1) : z.int().min(1).max(mostTokens);
  const parameters = z.looseObject({
    max_new_tokens: tokens.optional(),
    do_sample: z.boolean().optional(),
    ...Object.fromEntries(
      [...PASSED, 'logprobs'].map((name) => [name, (SAMPLING[name]?.schema ?? z.json()).optional()]),
    ),
  });
  const request = z.object({
    input_data: z.object({ input_string: z.array(message).min(1), parameters: parameters.optional() }),
  });
  const failure = z.object({ error: z.looseObject({ code: z.string(), message: z.string(), status: z.int() }) });
  return {
    ScoreRequest: openApi(request),
    ScoreAnswer: openApi(z.object({ output: z.string() })),
    Failure: openApi(failure),
  };
}

function openApi(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    unrepresentable: 'any',
  });
  return rest;
}

function json(schema: object): object {
  return { 'application/json': { schema } };
}
