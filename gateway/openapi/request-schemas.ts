import { z } from 'zod';
import { LARGEST_BATCH } from '../request/chat.ts';
import type { Field } from '../dialects/reading/fields.ts';
import { TOKEN_ID } from '../dialects/reading/field-forms.ts';
import { LIMITS } from '../dialects/reading/limits.ts';
import {
  IMAGE_URL,
  INPUT_IMAGE,
  ITEM,
  MESSAGE,
  PART,
  SAID_PART,
  type Inside,
} from '../dialects/reading/message-fields.ts';
import { columnOf, type Column, type Route } from '../dialects/reading/request-fields.ts';
import { TOOL_SCHEMAS } from '../dialects/reading/sampling.ts';
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
    ...known(columnOf('chat')),
    ...optional(TOOL_SCHEMAS),
  };
  const completion = {
    prompt: promptSchema(facts),
    ...envelope(facts, ['max_tokens', 'max_new_tokens']),
    ...known(columnOf('completions')),
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
    InferenceChatRequest: z.looseObject({ ...only(chat, columnOf('inference-chat')), ...unread }).describe(EXTRAS),
    InferenceCompletionRequest: z
      .looseObject({ ...only(completion, columnOf('inference-completions')), ...unread })
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
  const words = z.looseObject({ type: z.literal('text'), text: z.string(), ...ignoredIn(PART) });
  const picture = z.looseObject({
    type: z.literal('image_url'),
    image_url: z.union([z.looseObject({ url, uuid: z.null().optional(), ...ignoredIn(IMAGE_URL) }), url]),
    uuid: z.null().optional(),
    ...ignoredIn(PART),
  });
  const seesPictures = cards.some(({ modalities }) => modalities.input.includes('image'));
  const refusal = z.looseObject({ type: z.literal('refusal'), refusal: z.string() });
  const parts = (part: z.ZodType) => z.union([z.string(), z.array(part).max(LIMITS.parts.most)]);
  const asked = seesPictures ? z.union([words, picture]) : words;
  const rest = {
    name: z.string().max(LIMITS.name.most).nullish(),
    tool_calls: z.array(z.looseObject({})).max(LIMITS.toolCalls.most).nullish(),
    tool_call_id: z.string().max(LIMITS.id.most).nullish(),
    ...ignoredIn(MESSAGE),
  };
  const thoughts = z.string().nullish().describe('reasoning in an earlier turn, for the chat template');
  const pictures = cards.map(
    ({ name, limits }) => `${name}: ${String(limits.images_per_conversation)} in a conversation`,
  );
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

/** Unknown fields are refused on this route. */
function responsesSchema(facts: ApiFacts): z.ZodType {
  const words = (...types: string[]) =>
    z.looseObject({ type: z.enum(types), text: z.string(), ...ignoredIn(SAID_PART) }).describe('no other fields');
  const picture = z.strictObject({
    type: z.literal('input_image'),
    image_url: text,
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

function tokenizeSchema(facts: ApiFacts, messages: z.ZodType): z.ZodType {
  const rest = {
    model: envelope(facts, [])['model'] ?? text,
    ...optional({ tools: TOOL_SCHEMAS.tools }),
    ...known(columnOf('tokenize')),
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
      .looseObject({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
      .nullish()
      .describe('only where stream is true; continuous_usage_stats only beside include_usage'),
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
  const parametersOf = (task: Route) =>
    z
      .looseObject({
        ...lengths(facts, ['max_new_tokens', 'max_gen_len', 'max_tokens']),
        n: z.int().min(1).max(facts.mostChoices).nullish(),
        ...known(columnOf(task)),
      })
      .nullish()
      .describe('a parameter that is not named here has no effect, and is told in x-penstock-ignored');
  const prompts = z.array(text).min(1);
  const sees = facts.cards.some(({ modalities }) => modalities.input.includes('image'));
  const conversation = z.looseObject({
    input_data: z.looseObject({
      input_string: z.array(Message).min(1).max(LIMITS.messages.most),
      parameters: parametersOf(sees ? 'score-pictures' : 'score-chat'),
    }),
  });
  const parameters = parametersOf('score-prompts');
  const several = facts.cards.some(({ limits }) => limits.batch) ? prompts.max(LARGEST_BATCH) : prompts.max(1);
  const generation = [
    z.looseObject({ input_data: z.looseObject({ input_string: several, parameters }) }),
    z.looseObject({ input_data: several, params: parameters }),
  ];
  const tasks = new Set(facts.cards.map(({ task }) => task));
  if (!tasks.has('text-generation')) return conversation;
  return z.union(tasks.has('chat-completion') ? [conversation, ...generation] : generation);
}

/** What a route reads by the table of fields; what it refuses is named by the refusal. */
function known(column: Column): Record<string, z.ZodType> {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, verdict] of column) {
    if (verdict.kind === 'ignored') shape[name] = withoutEffect(verdict.why);
    else if (verdict.kind === 'fixed') shape[name] = nullish(verdict.field, `: ${verdict.why}`);
    else if (verdict.kind !== 'refused' && verdict.field !== undefined) shape[name] = nullish(verdict.field);
  }
  return shape;
}

function withoutEffect(why: string): z.ZodType {
  return z.unknown().optional().describe(`without effect on the answer: ${why}`);
}

/** The fields of a message, or of a part, that are accepted without effect. */
function ignoredIn(table: Inside): Record<string, z.ZodType> {
  return Object.fromEntries(
    Object.entries(table).flatMap(([name, verdict]) =>
      verdict.kind === 'ignored' ? [[name, withoutEffect(verdict.why)] as const] : [],
    ),
  );
}

function optional(fields: Readonly<Record<string, Field>>): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, nullish(field)]));
}

function nullish({ schema, form }: Field, why = ''): z.ZodType {
  return schema.nullish().describe(form + why);
}

function only(shape: Record<string, z.ZodType>, names: Column): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(shape).filter(([name]) => names.has(name)));
}
