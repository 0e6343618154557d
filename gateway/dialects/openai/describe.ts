import { z } from 'zod';
import { LARGEST_BATCH } from '../../request/chat.ts';
import type { ApiFacts, Described, Description } from '../description.ts';
import { conversations, exampleModel, HELLO } from '../reading/examples.ts';
import { TOKEN_ID } from '../reading/field-forms.ts';
import { conversationSchema } from '../reading/message-schema.ts';
import { columnOf } from '../reading/request-fields.ts';
import { TOOL_SCHEMAS } from '../reading/sampling.ts';
import { TEXT, envelope, known, optional, unreadModel } from '../reading/schemas.ts';
import { OPENAI_ERRORS } from './error-schemas.ts';

const usage = z.looseObject({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() });
const answer = { id: z.string(), created: z.int().describe('seconds since 1970'), model: z.string() };
const choice = { index: z.int(), logprobs: z.looseObject({}).nullish(), finish_reason: z.string().nullable() };

/** Bodies of answers are the engine's own, which may have more fields than these schemas. */
const CHAT_ANSWERS = {
  ...OPENAI_ERRORS,
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
};
const COMPLETION_ANSWERS = {
  ...OPENAI_ERRORS,
  Completion: z.looseObject({
    ...answer,
    object: z.literal('text_completion'),
    choices: z.array(z.looseObject({ ...choice, text: z.string() })),
    usage: usage.nullish(),
  }),
};

/** The fields of a chat's body. */
export function chatShape({ facts, message }: Described): Record<string, z.ZodType> {
  return {
    messages: conversationSchema(message),
    ...envelope(facts, ['max_completion_tokens', 'max_tokens', 'max_new_tokens']),
    ...known(columnOf('chat')),
    ...optional(TOOL_SCHEMAS),
  };
}

export function completionShape({ facts }: Described): Record<string, z.ZodType> {
  return {
    prompt: promptSchema(facts),
    ...envelope(facts, ['max_tokens', 'max_new_tokens']),
    ...known(columnOf('completions')),
  };
}

function promptSchema({ cards }: ApiFacts): z.ZodType {
  const tokenIds = z.array(TOKEN_ID).min(1);
  const several = z.array(z.union([TEXT, tokenIds])).min(1);
  const list = cards.some(({ limits }) => limits.batch) ? several.max(LARGEST_BATCH) : several.max(1);
  return z.union([TEXT, tokenIds, list]).describe('a text, or ids of tokens');
}

export function describeChat(described: Described): Description {
  const { facts } = described;
  const model = exampleModel(facts);
  const stream = { model, messages: HELLO, max_tokens: 24, stream: true, stream_options: { include_usage: true } };
  const examples = { ...conversations(facts, (messages) => ({ model, messages, max_tokens: 24 })), stream };
  const [schema, request] = named('ChatRequest', chatShape(described), described);
  return {
    summary: 'The answer to a conversation',
    request: { schema, examples },
    answer: 'ChatCompletion',
    event: 'ChatCompletionChunk',
    schemas: { ...CHAT_ANSWERS, [schema]: request },
  };
}

export function describeCompletions(described: Described): Description {
  const examples = { text: { model: exampleModel(described.facts), prompt: 'The water', max_tokens: 24 } };
  const [schema, request] = named('CompletionRequest', completionShape(described), described);
  return {
    summary: 'The continuation of a bare prompt',
    request: { schema, examples },
    answer: 'Completion',
    event: 'Completion',
    schemas: { ...COMPLETION_ANSWERS, [schema]: request },
  };
}

/** If the path chose the model, the body's model is ignored. */
function named(
  name: string,
  shape: Record<string, z.ZodType>,
  { facts, deployment }: Described,
): [name: string, schema: z.ZodType] {
  if (deployment !== 'path') return [name, z.looseObject(shape)];
  return [`Deployment${name}`, z.looseObject({ ...shape, ...unreadModel(facts) })];
}
