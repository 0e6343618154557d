import { z } from 'zod';
import type { ApiFacts } from './facts.ts';

const usage = z.looseObject({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() });
const answer = { id: z.string(), created: z.int().describe('seconds since 1970'), model: z.string() };
const choice = { index: z.int(), logprobs: z.looseObject({}).nullish(), finish_reason: z.string().nullable() };

const Model = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  max_model_len: z.int().describe('tokens of prompt and answer together'),
});

const error = {
  message: z.string().min(1),
  type: z.enum([
    'invalid_request_error',
    'authentication_error',
    'permission_error',
    'rate_limit_error',
    'server_error',
  ]),
  param: z.string().nullable().describe('the field at fault, as the caller wrote it'),
  code: z.string(),
  asked: z.number().optional().describe('what a limit was asked'),
  allowed: z.number().optional(),
  card: z.string().optional().describe('the model card whose rule refused'),
};

/** Bodies of answers: the engine's own, which may hold more than is told here, and the gateway's. */
export function answerSchemas({ cards }: ApiFacts) {
  const isText = cards.some(({ task }) => task === 'text-generation');
  const isChat = cards.length === 0 || cards.some(({ task }) => task === 'chat-completion');
  return {
    ChatCompletion: z.looseObject({
      ...answer,
      object: z.literal('chat.completion'),
      choices: z.array(
        z.looseObject({
          ...choice,
          message: z.looseObject({ role: z.literal('assistant'), content: z.string().nullable() }),
        }),
      ),
      usage,
    }),
    ChatCompletionChunk: z.looseObject({
      ...answer,
      object: z.literal('chat.completion.chunk'),
      choices: z.array(
        z.looseObject({
          ...choice,
          delta: z.looseObject({ role: z.string().optional(), content: z.string().nullish() }),
        }),
      ),
    }),
    Completion: z.looseObject({
      ...answer,
      object: z.literal('text_completion'),
      choices: z.array(z.looseObject({ ...choice, text: z.string() })),
      usage: usage.nullish(),
    }),
    Response: z.looseObject({
      id: z.string(),
      object: z.literal('response'),
      created_at: z.number(),
      model: z.string(),
      status: z.string(),
      output: z.array(z.looseObject({ type: z.string() })),
      usage: z.looseObject({ input_tokens: z.int(), output_tokens: z.int(), total_tokens: z.int() }).nullish(),
    }),
    ResponseEvent: z.looseObject({ type: z.string(), sequence_number: z.int() }),
    TokenCount: z.looseObject({
      count: z.int(),
      max_model_len: z.int(),
      tokens: z.array(z.int()),
      token_strs: z.array(z.string()).nullish(),
    }),
    Model,
    Version: z.object({ version: z.string() }),
    ModelList: z.object({ object: z.literal('list'), data: z.array(Model) }),
    ModelInfo: z.object({ model_name: z.string(), model_type: z.string(), model_provider_name: z.string() }),
    ScoreAnswer: z.union([
      ...(isChat ? [z.object({ output: z.string() })] : []),
      ...(isText ? [z.array(z.string()), z.array(z.record(z.string(), z.string()))] : []),
    ]),
    HiddenScoreAnswer: z.looseObject({ output: z.string().optional() }).describe('empty for what failed'),
    StreamError: z.looseObject({ error: z.looseObject(error) }),
    OpenAIError: z.looseObject({ error: z.looseObject(error) }),
    AzureError: z.looseObject({
      error: z.looseObject({ ...error, status: z.int(), details: z.array(z.looseObject({})).max(0) }),
      detail: z
        .array(
          z.looseObject({
            type: z.string(),
            loc: z.array(z.union([z.string(), z.int()])),
            msg: z.string(),
          }),
        )
        .optional(),
    }),
  };
}
