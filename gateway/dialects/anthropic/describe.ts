import { z } from 'zod';
import type { ApiFacts, Described, Description } from '../description.ts';
import { BLUE_SQUARE, exampleModel, HELLO } from '../reading/examples.ts';
import { MAY_BE_EMPTY } from '../reading/fields.ts';
import { LIMITS } from '../reading/limits.ts';
import { TEXT, envelope, known, tokens } from '../reading/schemas.ts';
import { ERROR } from '../openai/error-schemas.ts';
import { COUNT_FIELDS, MESSAGE_FIELDS, VERSIONS } from './fields.ts';

const text = { type: 'string' } as const;
const PARAMETERS = {
  'anthropic-version': {
    name: 'anthropic-version',
    in: 'header',
    description: 'may be absent',
    schema: { enum: VERSIONS },
  },
  'anthropic-beta': {
    name: 'anthropic-beta',
    in: 'header',
    description: 'without effect',
    schema: text,
  },
};

const usage = z.looseObject({ input_tokens: z.int(), output_tokens: z.int() });
const block = z.looseObject({ type: z.enum(['text', 'tool_use']) });
const ANSWERS = {
  AnthropicError: z.looseObject({
    type: z.literal('error'),
    error: z.looseObject({ ...ERROR, type: z.string() }),
    request_id: z.string().optional(),
  }),
  AnthropicMessage: z.looseObject({
    id: z.string(),
    type: z.literal('message'),
    role: z.literal('assistant'),
    model: z.string(),
    content: z.array(block),
    stop_reason: z.enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'refusal']).nullable(),
    stop_sequence: z.string().nullable(),
    usage,
  }),
  AnthropicEvent: z
    .looseObject({
      type: z.enum([
        'message_start',
        'content_block_start',
        'ping',
        'content_block_delta',
        'content_block_stop',
        'message_delta',
        'message_stop',
        'error',
      ]),
    })
    .describe('the last is `message_stop`, or an error that ends the stream'),
  AnthropicCount: z.object({ input_tokens: z.int() }),
};

export function describeMessages({ facts }: Described): Description {
  const model = exampleModel(facts);
  const asked = { model, max_tokens: 24, messages: HELLO };
  const data = { type: 'base64', media_type: 'image/png', data: BLUE_SQUARE };
  const look = [
    { type: 'image', source: data },
    { type: 'text', text: 'What is shown in this image?' },
  ];
  const picture = { ...asked, messages: [{ role: 'user', content: look }] };
  return {
    summary: 'The next message of a conversation',
    parameters: PARAMETERS,
    request: {
      schema: 'AnthropicRequest',
      examples: { text: asked, stream: { ...asked, stream: true }, ...(sees(facts) ? { picture } : {}) },
    },
    answer: 'AnthropicMessage',
    event: 'AnthropicEvent',
    hasEndMark: false,
    schemas: {
      ...ANSWERS,
      AnthropicRequest: z.looseObject({
        ...conversation(facts),
        stream: z.boolean().nullish(),
        max_tokens: tokens(facts),
        ...known(MESSAGE_FIELDS),
      }),
    },
  };
}

export function describeCount({ facts }: Described): Description {
  const text = { model: exampleModel(facts), messages: HELLO };
  return {
    summary: 'How many tokens a conversation has as a prompt',
    parameters: PARAMETERS,
    request: { schema: 'AnthropicCountRequest', examples: { text } },
    answer: 'AnthropicCount',
    schemas: {
      ...ANSWERS,
      AnthropicCountRequest: z.looseObject({ ...conversation(facts), ...known(COUNT_FIELDS) }),
    },
  };
}

function sees({ cards }: ApiFacts): boolean {
  return cards.some(({ modalities }) => modalities.input.includes('image'));
}

function conversation(facts: ApiFacts): Record<string, z.ZodType> {
  const words = z.looseObject({ type: z.literal('text'), text: z.string() });
  const source = z.union([
    z.looseObject({
      type: z.literal('base64'),
      media_type: z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
      data: TEXT,
    }),
    z.looseObject({ type: z.literal('url'), url: TEXT }),
  ]);
  const result = z.looseObject({
    type: z.literal('tool_result'),
    tool_use_id: TEXT.max(LIMITS.id.most),
    content: z.union([z.string(), z.array(words)]).nullish(),
  });
  const use = z.looseObject({
    type: z.literal('tool_use'),
    id: TEXT.max(LIMITS.id.most),
    name: TEXT.max(LIMITS.name.most),
    input: z.looseObject({}),
  });
  const picture = z.looseObject({ type: z.literal('image'), source });
  const asked = z.union(sees(facts) ? [words, picture, result] : [words, result]);
  const content = (one: z.ZodType) => z.union([z.string(), z.array(one).max(LIMITS.parts.most)]);
  const messages = z.union([
    z.looseObject({ role: z.literal('user'), content: content(asked) }),
    z.looseObject({ role: z.literal('assistant'), content: content(z.union([words, use])) }),
    z.looseObject({ role: z.literal('system'), content: content(words) }),
  ]);
  const tool = z.looseObject({
    type: z.literal('custom').nullish(),
    name: TEXT.max(LIMITS.name.most),
    description: z.string().max(LIMITS.description.most).nullish(),
    input_schema: z.looseObject({}),
  });
  const choice = z.looseObject({ type: z.enum(['auto', 'any', 'tool', 'none']), name: z.string().optional() });
  return {
    model: envelope(facts, [])['model'] ?? TEXT,
    messages: z.array(messages).min(1).max(LIMITS.messages.most),
    system: z.union([z.string(), z.array(words).max(LIMITS.parts.most)]).nullish(),
    tools: z.array(tool).max(LIMITS.tools.most).nullish(),
    tool_choice: choice.nullish().meta({ ...MAY_BE_EMPTY, description: 'only with tools' }),
  };
}
