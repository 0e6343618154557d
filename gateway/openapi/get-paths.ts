import { z } from 'zod';
import type { Dialect } from '../dialects/dialect.ts';
import { operation, type Paths } from './operation.ts';

/** The dialects of the paths that are only read. */
export interface ReadDialects {
  readonly openai: Dialect;
  readonly responses: Dialect;
  readonly score: Dialect;
  readonly inference: Dialect;
  readonly azureOpenai: Dialect;
}

const Model = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  max_model_len: z.int().describe('limit for prompt and answer together, in tokens'),
});
/** The answers of these paths. */
export const READ_SCHEMAS = {
  Model,
  ModelList: z.object({ object: z.literal('list'), data: z.array(Model) }),
  ModelInfo: z.object({
    model_name: z.string(),
    model_type: z.string(),
    model_provider_name: z.string(),
    responsible_use: z
      .object({ notice: z.string(), link: z.string() })
      .describe('what the publisher of the model says about responsible use')
      .optional(),
  }),
  InputItems: z.object({
    object: z.literal('list'),
    data: z.array(z.looseObject({ id: z.string(), type: z.literal('message'), role: z.string() })),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  }),
  KeptResponse: z.looseObject({
    id: z.string(),
    object: z.literal('response'),
    status: z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
  }),
  DeletedResponse: z.object({ id: z.string(), object: z.literal('response'), deleted: z.literal(true) }),
  CancelledStream: z.object({ id: z.string(), status: z.enum(['cancelled', 'completed', 'incomplete', 'failed']) }),
  Version: z.object({ version: z.string() }),
  Document: z.looseObject({ openapi: z.string(), paths: z.looseObject({}) }),
};

/** Every path that takes no body: models, kept responses, probes, documents. */
export function getPaths({ openai, responses, score, inference, azureOpenai }: ReadDialects): Paths {
  const azure = { tag: 'Azure OpenAI', parameters: ['api-version'] };
  return {
    ...modelPaths(openai, { base: '/v1', tag: 'OpenAI', prefix: '' }),
    ...modelPaths(azureOpenai, { base: '/openai/v1', prefix: 'azure_v1_', ...azure }),
    ...modelPaths(azureOpenai, { base: '/openai', prefix: 'azure_', ...azure }),
    ...responsePaths(responses, { base: '/v1', tag: 'OpenAI', prefix: '' }),
    ...responsePaths(azureOpenai, { base: '/openai/v1', prefix: 'azure_v1_', ...azure }),
    ...responsePaths(azureOpenai, { base: '/openai', prefix: 'azure_', ...azure }),
    // Only the list, for clients whose base URL lacks its /v1.
    '/models': { get: modelList(openai, { tag: 'OpenAI', prefix: 'bare_' }) },
    ...infoPath(inference, '', 'inference_'),
    ...infoPath(inference, '/models', 'models_'),
    '/health': { get: health('health') },
    '/ping': { get: health('ping'), post: health('pingByPost') },
    '/version': plain(openai, {
      id: 'version',
      tag: 'OpenAI',
      summary: 'The version of the gateway',
      answer: 'Version',
    }),
    '/openapi.json': plain(openai, { id: 'document', tag: 'Documents', summary: 'This document', answer: 'Document' }),
    '/swagger.json': plain(score, {
      id: 'scoreDocument',
      tag: 'Azure ML',
      summary: 'How to call /score, in OpenAPI 3.0, for the tools of Azure ML',
      answer: 'Document',
    }),
    '/': { get: PROBE },
  };
}

interface Shape {
  readonly base: string;
  readonly tag: string;
  /** of operation ids */
  readonly prefix: string;
  readonly parameters?: readonly string[];
}

function modelPaths(dialect: Dialect, shape: Shape): Paths {
  const { base, tag, prefix, parameters = [] } = shape;
  return {
    [`${base}/models`]: { get: modelList(dialect, shape) },
    [`${base}/models/{id}`]: {
      get: operation(dialect, {
        id: `${prefix}getModel`,
        tag,
        summary: 'One model, by any of its names',
        parameters: ['id', ...parameters],
        answer: 'Model',
        stages: ['named'],
      }),
    },
  };
}

function responsePaths(dialect: Dialect, { base, tag, prefix, parameters = [] }: Shape): Paths {
  const facts = (id: string, summary: string, answer: string, more: readonly string[] = []): object =>
    operation(dialect, {
      id: prefix + id,
      tag,
      summary,
      answer,
      parameters: ['response_id', ...more, ...parameters],
      stages: ['kept'],
    });
  return {
    [`${base}/responses/{response_id}`]: {
      get: facts('getResponse', 'A kept response, or its events', 'KeptResponse', ['stream', 'starting_after']),
      delete: facts('deleteResponse', 'Cancels and removes a kept response', 'DeletedResponse'),
    },
    [`${base}/responses/{response_id}/input_items`]: {
      get: facts('listInputItems', 'What a kept response was asked', 'InputItems', ['limit', 'order', 'after']),
    },
    [`${base}/responses/{response_id}/cancel`]: {
      post: facts('cancelResponse', 'Cancels a response that was made in the background', 'KeptResponse'),
    },
  };
}

function modelList(dialect: Dialect, { tag, prefix, parameters = [] }: Omit<Shape, 'base'>): object {
  const summary = 'The models that the caller may use';
  return operation(dialect, { id: `${prefix}listModels`, tag, summary, parameters, answer: 'ModelList', stages: [] });
}

function infoPath(dialect: Dialect, base: string, prefix: string): Paths {
  return {
    [`${base}/info`]: {
      get: operation(dialect, {
        id: `${prefix}info`,
        tag: 'Azure AI inference',
        summary: 'The model that answers',
        parameters: ['azureml-model-deployment', 'api-version'],
        answer: 'ModelInfo',
        stages: ['deployment', 'chosen'],
      }),
    },
  };
}

function plain(dialect: Dialect, facts: Record<'id' | 'tag' | 'summary' | 'answer', string>): object {
  return { get: operation(dialect, { ...facts, stages: [] }) };
}

const PROBE = {
  operationId: 'probe',
  tags: ['Azure ML'],
  summary: 'A probe; needs no key',
  security: [],
  responses: {
    200: {
      description: 'the gateway serves requests',
      content: { 'application/json': { schema: { const: 'healthy' } } },
    },
    503: { $ref: '#/components/responses/Openai503' },
  },
};

/** The check that clients of vLLM make before they send anything. */
function health(operationId: string): object {
  return {
    operationId,
    tags: ['OpenAI'],
    summary: 'Whether an engine can answer; needs no key',
    security: [],
    responses: { 200: { description: 'an engine can answer' }, 503: { description: 'no engine is ready' } },
  };
}
