import type { EnginePath } from './job.ts';

/** `gen_ai.operation.name` of each route of an engine. Source: OpenTelemetry's GenAI conventions; the last one is our own. */
export const OPERATIONS: Readonly<Record<EnginePath, string>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'text_completion',
  '/v1/responses': 'chat',
  '/tokenize': 'count_tokens',
};

/** `gen_ai.provider.name`: the conventions have no value for an own engine, and let a program choose one. */
export const PROVIDER = 'vllm';
