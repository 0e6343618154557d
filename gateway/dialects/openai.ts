import { z } from 'zod';
import type { ChatRequest } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { Dialect } from './dialect.ts';
import { IgnoredNames, fieldsOf, isAbsent, isObject, isSet } from './fields.ts';
import { listOf } from './limited.ts';
import { BODY, LIMITS } from './limits.ts';
import { readMessages } from './messages.ts';
import { ENVELOPE, STEERING, checkLabels, openaiAnswers, readEnvelope, refuseFields } from './openai-envelope.ts';
import { SAMPLING, TOOL_FIELDS, readSampling, readTools } from './sampling.ts';

const MAX_TOKENS = ['max_completion_tokens', 'max_tokens', 'max_new_tokens'] as const;

/**
 * What the engine would take and a caller must not set: it steers scheduling, caches, templates or pictures of others,
 * or it would be dropped although the answer depends on it.
 */
const REFUSED: Readonly<Record<string, string>> = {
  ...STEERING,
  mm_processor_kwargs: 'the model card decides it',
  media_io_kwargs: 'the model card decides it',
  chat_template: "the model's own template is used",
  chat_template_kwargs: "the model's own template is used",
  documents: 'put their text into a message',
  functions: 'use tools',
  function_call: 'use tool_choice',
  audio: 'answers are text',
  web_search_options: 'there is no web search',
};

/** Fields of which one value is what is served anyway; by any other the answer would have to be another one. */
export const NARROW: Readonly<Record<string, { readonly served: z.ZodType; readonly why: string }>> = {
  modalities: { served: listOf(LIMITS.include, z.literal('text')), why: 'answers are text' },
  verbosity: { served: z.literal('medium'), why: 'the model knows no such setting; ask for it in a message' },
};

/**
 * Fields of OpenAI's API that reach no engine, and why the answer is the same without them. They are accepted, as many
 * clients send them unasked, and named in the response header `x-penstock-ignored` like any unknown field.
 */
export const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  user: 'whose request it is, is known by its key',
  safety_identifier: 'whose request it is, is known by its key',
  metadata: 'labels of a stored answer',
  // The answer itself is what was asked for; who asks for the stored one later is refused by name.
  store: 'nothing is stored',
  prompt_cache_key: 'equal beginnings are found without it, apart for each key',
  prompt_cache_retention: 'equal beginnings are found without it, apart for each key',
  service_tier: 'there is one tier',
  prediction: 'it could only make the same answer faster',
};

const READ: ReadonlySet<string> = new Set([
  'messages',
  ...ENVELOPE,
  ...MAX_TOKENS,
  ...TOOL_FIELDS,
  ...Object.keys(SAMPLING),
  ...Object.keys(REFUSED),
  ...Object.keys(NARROW),
]);

/** `/v1/chat/completions`, with the fields that vLLM adds to OpenAI's. */
export const openai: Dialect = { ...openaiAnswers, parse };

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with messages');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, REFUSED);
  checkLabels(body);
  for (const [name, { served, why }] of Object.entries(NARROW))
    if (isSet(body[name]) && !served.safeParse(body[name]).success) refuseFields({ [name]: true }, { [name]: why });
  const ignored = new IgnoredNames();
  const messages = readMessages(body['messages'], 'messages', ignored);
  const sampling = { ...readSampling(body, Object.keys(SAMPLING), ''), ...readTools(body) };
  const envelope = readEnvelope(body, MAX_TOKENS, sampling, ignored);
  for (const [name, value] of fields) if (!READ.has(name) && !isAbsent(value)) ignored.add(name);
  return { ...envelope, messages, messagesParam: 'messages', sampling, ignored: ignored.list() };
}
