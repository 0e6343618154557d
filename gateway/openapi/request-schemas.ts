import { z } from 'zod';
import { LARGEST_BATCH } from '#contract/chat';
import type { Field } from '../dialects/fields.ts';
import { INFERENCE_FIELDS } from '../dialects/azure-inference.ts';
import { COMPLETION_FIELDS } from '../dialects/openai-completions.ts';
import { FLAGS } from '../dialects/openai-tokenize.ts';
import { NARROW } from '../dialects/openai.ts';
import { RESPONSES_FIELDS } from '../dialects/openai-responses.ts';
import { LIMITS } from '../dialects/limits.ts';
import { SAMPLING, TOKEN_ID, TOOL_SCHEMAS } from '../dialects/sampling.ts';
import { scoreParameters, type ScoreTask } from '../dialects/score-parameters.ts';
import type { ApiFacts } from './facts.ts';

/**
 * The bodies that the routes read, as they read them: every field that may be absent may be null as well, and a field that
 * is not named here is ignored, or refused with its name. What one field means for another is in the answers' messages.
 */
export function requestSchemas(facts: ApiFacts) {
  const Message = messageSchema(facts);
  const messages = z
    .array(Message)
    .min(1)
    .max(LIMITS.messages.most)
    .describe('the conversation; `developer` is read as `system`');
  const chat = {
    messages,
    ...envelope(facts, ['max_completion_tokens', 'max_tokens', 'max_new_tokens']),
    ...optional(SAMPLING),
    ...optional(TOOL_SCHEMAS),
    ...Object.fromEntries(
      Object.entries(NARROW).map(([name, { served, why }]) => [name, served.nullish().describe(why)]),
    ),
  };
  const completion = {
    prompt: promptSchema(facts),
    ...envelope(facts, ['max_tokens', 'max_new_tokens']),
    ...optional(COMPLETION_FIELDS),
  };
  const unread = {
    model: text.nullish().describe(`not read where a deployment is chosen; else one of ${facts.names.join(', ')}`),
  };
  return {
    Message,
    ChatRequest: z.looseObject(chat),
    CompletionRequest: z.looseObject(completion),
    DeploymentChatRequest: z.looseObject({ ...chat, ...unread }),
    DeploymentCompletionRequest: z.looseObject({ ...completion, ...unread }),
    InferenceChatRequest: z.looseObject({ ...only(chat, INFERENCE_FIELDS.chat), ...unread }).describe(EXTRAS),
    InferenceCompletionRequest: z
      .looseObject({ ...only(completion, INFERENCE_FIELDS.completions), ...unread })
      .describe(EXTRAS),
    ScoreRequest: scoreSchema(facts, Message),
    ResponsesRequest: responsesSchema(facts),
    TokenizeRequest: tokenizeSchema(facts, messages),
  };
}

const EXTRAS = 'Any other field is an extra parameter: the header `extra-parameters` decides what becomes of it.';
const text = z.string().min(1);
const tokenIds = z.array(TOKEN_ID).min(1);

function messageSchema({ cards }: ApiFacts): z.ZodType {
  const url = text.describe('http(s) URL, or data:image/png;base64,…');
  const words = z.looseObject({ type: z.literal('text'), text: z.string() });
  const picture = z.looseObject({
    type: z.literal('image_url'),
    image_url: z.union([z.looseObject({ url, uuid: z.null().optional() }), url]),
    uuid: z.null().optional(),
  });
  const seesPictures = cards.some(({ modalities }) => modalities.input.includes('image'));
  const refusal = z.looseObject({ type: z.literal('refusal'), refusal: z.string() });
  const parts = (part: z.ZodType) => z.union([z.string(), z.array(part).max(LIMITS.parts.most)]);
  const asked = seesPictures ? z.union([words, picture]) : words;
  const rest = {
    name: z.string().max(LIMITS.name.most).nullish(),
    tool_calls: z.array(z.looseObject({})).max(LIMITS.toolCalls.most).nullish(),
    tool_call_id: z.string().max(LIMITS.id.most).nullish(),
  };
  const pictures = cards.map(
    ({ name, limits }) => `${name}: ${String(limits.images_per_conversation)} in a conversation`,
  );
  return z
    .union([
      z.looseObject({ role: z.enum(['user', 'system', 'developer', 'tool']), content: parts(asked), ...rest }),
      z.looseObject({ role: z.literal('assistant'), content: parts(z.union([asked, refusal])).nullish(), ...rest }),
    ])
    .describe(`Pictures (PNG, JPEG, WebP, GIF): ${pictures.join('; ')}.`);
}

/** Unknown fields are refused on this route. */
function responsesSchema(facts: ApiFacts): z.ZodType {
  const words = (...types: string[]) =>
    z.looseObject({ type: z.enum(types), text: z.string() }).describe('no other fields');
  const picture = z.strictObject({
    type: z.literal('input_image'),
    image_url: text,
    detail: z.enum(['auto', 'low', 'high', 'original']).nullish(),
  });
  const item = { type: z.literal('message').nullish(), id: z.unknown().optional(), status: z.unknown().optional() };
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
  ]);
  const { model, stream } = envelope(facts, []);
  return z.strictObject({
    input: z.union([z.string(), z.array(items).min(1).max(LIMITS.messages.most)]),
    model,
    stream,
    max_output_tokens: tokens(facts).nullish(),
    ...optional(RESPONSES_FIELDS),
  });
}

function tokenizeSchema(facts: ApiFacts, messages: z.ZodType): z.ZodType {
  const rest = {
    model: envelope(facts, [])['model'] ?? text,
    ...optional(TOOL_SCHEMAS),
    ...Object.fromEntries(FLAGS.map((name) => [name, z.boolean().nullish()])),
  };
  return z.union([
    z.looseObject({ ...rest, messages, prompt: z.null().optional() }),
    z.looseObject({ ...rest, prompt: z.string(), messages: z.null().optional() }),
  ]);
}

function promptSchema({ cards }: ApiFacts): z.ZodType {
  const several = z.array(z.union([text, tokenIds])).min(1);
  const list = cards.some(({ limits }) => limits.batch) ? several.max(LARGEST_BATCH) : several.max(1);
  return z.union([text, tokenIds, list]).describe('a text, or ids of tokens');
}

/** @param limits names for the answer's length, of which the first that is present counts */
function envelope(facts: ApiFacts, limits: readonly string[]): Record<string, z.ZodType> {
  const stream = z.union([z.boolean(), z.enum(['true', 'false', 'True', 'False'])]);
  const model = modelName(facts);
  return {
    model: facts.cards.length === 1 ? model.nullish() : model,
    stream: stream.nullish(),
    stream_options: z
      .looseObject({ include_usage: z.boolean().nullish() })
      .nullish()
      .describe('only where stream is true'),
    n: z.int().min(1).max(facts.mostChoices).nullish(),
    ...lengths(facts, limits),
  };
}

/** Only what counts is held to the card: a longer one behind it does no harm. */
function lengths(facts: ApiFacts, names: readonly string[]): Record<string, z.ZodType> {
  const most = facts.mostTokens === undefined ? '' : `, up to ${String(facts.mostTokens)}`;
  return Object.fromEntries(
    names.map((name, index) => [
      name,
      index === 0
        ? tokens(facts).nullish()
        : z
            .int()
            .min(1)
            .nullish()
            .describe(`counts where ${names.slice(0, index).join(', ')} is absent${most}`),
    ]),
  );
}

function modelName({ names, takesAnyName }: Pick<ApiFacts, 'names' | 'takesAnyName'>): z.ZodType<string> {
  return takesAnyName || names.length === 0 ? text : z.enum(names);
}

function tokens({ mostTokens }: ApiFacts): z.ZodType {
  const least = z.int().min(1);
  return mostTokens === undefined ? least : least.max(mostTokens);
}

function scoreSchema(facts: ApiFacts, Message: z.ZodType): z.ZodType {
  const parametersOf = (task: ScoreTask) =>
    z
      .looseObject({
        ...lengths(facts, ['max_new_tokens', 'max_gen_len', 'max_tokens']),
        n: z.int().min(1).max(facts.mostChoices).nullish(),
        ...optional(scoreParameters(task)),
      })
      .nullish()
      .describe('a parameter that is not named here has no effect, and is told in x-penstock-ignored');
  const prompts = z.array(text).min(1);
  const sees = facts.cards.some(({ modalities }) => modalities.input.includes('image'));
  const conversation = z.looseObject({
    input_data: z.looseObject({
      input_string: z.array(Message).min(1).max(LIMITS.messages.most),
      parameters: parametersOf(sees ? 'chat-with-images' : 'chat'),
    }),
  });
  const parameters = parametersOf('text-generation');
  const several = facts.cards.some(({ limits }) => limits.batch) ? prompts.max(LARGEST_BATCH) : prompts.max(1);
  const generation = [
    z.looseObject({ input_data: z.looseObject({ input_string: several, parameters }) }),
    z.looseObject({ input_data: several, params: parameters }),
  ];
  const tasks = new Set(facts.cards.map(({ task }) => task));
  if (!tasks.has('text-generation')) return conversation;
  return z.union(tasks.has('chat-completion') ? [conversation, ...generation] : generation);
}

function optional(fields: Readonly<Record<string, Field>>): Record<string, z.ZodType> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, { schema, form }]) => [name, schema.nullish().describe(form)]),
  );
}

function only(shape: Record<string, z.ZodType>, names: ReadonlySet<string>): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(shape).filter(([name]) => names.has(name)));
}
