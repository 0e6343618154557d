import { z } from 'zod';
import type { ApiFacts, Described, Description } from '../description.ts';
import { exampleModel, HELLO } from '../reading/examples.ts';
import { LIMITS } from '../reading/limits.ts';
import { INPUT_IMAGE, ITEM, SAID_PART } from '../reading/message-fields.ts';
import { ignoredIn } from '../reading/message-schema.ts';
import { columnOf } from '../reading/request-fields.ts';
import { TEXT, envelope, known, tokens } from '../reading/schemas.ts';
import { OPENAI_ERRORS } from './error-schemas.ts';

export function describeResponses({ facts }: Described): Description {
  const model = exampleModel(facts);
  const examples = {
    text: { model, input: 'Say hello.', max_output_tokens: 24 },
    stream: { model, input: HELLO, max_output_tokens: 24, stream: true },
  };
  return {
    summary: 'The answer to a conversation, which can be kept and continued',
    request: { schema: 'ResponsesRequest', examples },
    answer: 'Response',
    event: 'ResponseEvent',
    schemas: { ...ANSWERS, ResponsesRequest: responsesSchema(facts) },
  };
}

const ANSWERS = {
  ...OPENAI_ERRORS,
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
};

/** This route refuses unknown fields. */
function responsesSchema(facts: ApiFacts): z.ZodType {
  const words = (...types: string[]) =>
    z.looseObject({ type: z.enum(types), text: z.string(), ...ignoredIn(SAID_PART) }).describe('no other fields');
  const picture = z.strictObject({
    type: z.literal('input_image'),
    image_url: TEXT,
    detail: z.enum(['auto', 'low', 'high', 'original']).nullish(),
    ...ignoredIn(INPUT_IMAGE),
  });
  const item = { type: z.literal('message').nullish(), status: z.unknown().optional(), ...ignoredIn(ITEM) };
  const parts = z
    .array(z.union([words('input_text'), picture]))
    .min(1)
    .max(LIMITS.parts.most);
  const refusal = z.looseObject({ type: z.literal('refusal'), refusal: z.string() }).describe('no other fields');
  const said = z
    .array(z.union([words('output_text', 'input_text'), refusal]))
    .min(1)
    .max(LIMITS.parts.most);
  const items = z.union([
    z.strictObject({ ...item, role: z.enum(['user', 'system', 'developer']), content: z.union([z.string(), parts]) }),
    z.strictObject({ ...item, role: z.literal('assistant'), content: z.union([z.string(), said]) }),
    z.strictObject({ type: z.literal('item_reference').nullish(), id: z.string().min(1).max(LIMITS.id.most) }),
  ]);
  const { model, stream } = envelope(facts, []);
  return z.strictObject({
    input: z.union([z.string(), z.array(items).min(1).max(LIMITS.messages.most)]),
    model,
    stream,
    max_output_tokens: tokens(facts).nullish(),
    ...known(columnOf('responses')),
  });
}
