import { z } from 'zod';
import type { ApiFacts } from '../description.ts';
import { LIMITS } from './limits.ts';
import { IMAGE_URL, MESSAGE, PART, type Inside } from './message-fields.ts';
import { TEXT, withoutEffect } from './schemas.ts';

/** A message in OpenAI's form, for the API's document. */
export function messageSchema({ cards }: ApiFacts): z.ZodType {
  const url = TEXT.describe('http(s) URL, or data:image/png;base64,…');
  const words = z.looseObject({
    type: z.enum(['text', 'input_text', 'output_text']),
    text: z.string(),
    ...ignoredIn(PART),
  });
  const picture = z.looseObject({
    type: z.enum(['image_url', 'input_image']).nullish(),
    image_url: z.union([z.looseObject({ url, uuid: z.null().optional(), ...ignoredIn(IMAGE_URL) }), url]),
    uuid: z.null().optional(),
    ...ignoredIn(PART),
  });
  const seesPictures = cards.some(({ modalities }) => modalities.input.includes('image'));
  const refusal = z.looseObject({ type: z.literal('refusal'), refusal: z.string() });
  const parts = (part: z.ZodType) => z.union([z.string(), z.array(part).max(LIMITS.parts.most)]);
  const asked = z.union([z.string(), words, ...(seesPictures ? [picture] : [])]);
  const rest = {
    name: z.string().max(LIMITS.name.most).nullish(),
    tool_calls: z.array(z.looseObject({})).max(LIMITS.toolCalls.most).nullish(),
    tool_call_id: z.string().max(LIMITS.id.most).nullish(),
    ...ignoredIn(MESSAGE),
  };
  const thoughts = z.string().nullish().describe('reasoning of an earlier message, for the chat template');
  const pictures = cards.map(({ name, limits }) => `${name}: ${limits.images_per_conversation} in a conversation`);
  return z
    .union([
      z.looseObject({ role: z.enum(['user', 'system', 'developer', 'tool']), content: parts(asked), ...rest }),
      z.looseObject({
        role: z.literal('assistant'),
        content: parts(z.union([asked, refusal])).nullish(),
        reasoning: thoughts,
        reasoning_content: thoughts,
        ...rest,
      }),
    ])
    .describe(`Pictures (PNG, JPEG, WebP, GIF): ${pictures.join('; ')}.`);
}

/** A conversation of such messages. */
export function conversationSchema(message: z.ZodType): z.ZodType {
  return z
    .array(message)
    .min(1)
    .max(LIMITS.messages.most)
    .describe('the conversation; `developer` is read as `system`');
}

/** The fields of a message, or of a part, that are accepted without effect. */
export function ignoredIn(table: Inside): Record<string, z.ZodType> {
  return Object.fromEntries(
    Object.entries(table).flatMap(([name, verdict]) =>
      verdict.kind === 'ignored' ? [[name, withoutEffect(verdict.why)] as const] : [],
    ),
  );
}
