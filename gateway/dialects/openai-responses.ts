import { z } from 'zod';
import type { ChatRequest, JsonValue } from '#contract/chat';
import { Failure } from '#contract/failure';
import { TEXT_FORMAT } from './answer-format.ts';
import type { Dialect } from './dialect.ts';
import {
  IgnoredNames,
  fieldsOf,
  isAbsent,
  isObject,
  isSet,
  readField,
  shortName,
  strictJson,
  type Field,
} from './fields.ts';
import { listOf, objectOf, textOf, wellFormed } from './limited.ts';
import { BODY, LIMITS } from './limits.ts';
import { STEERING, openaiAnswers, readEnvelope, refuseFields } from './openai-envelope.ts';
import { errorObject } from './openai-errors.ts';
import { readInput } from './responses-input.ts';
import { EFFORT, SAMPLING, readSampling } from './sampling.ts';

const STATELESS =
  'nothing is stored here; send the whole conversation as input, as clients do where they are told store: false';
const FROM_CARD = 'the model card decides it';

/** What would need state that no engine keeps, would be lost on its way, or is the operator's to decide. */
const REFUSED: Readonly<Record<string, string>> = {
  ...STEERING,
  previous_response_id: STATELESS,
  previous_response: STATELESS,
  previous_input_messages: STATELESS,
  conversation: STATELESS,
  prompt: STATELESS,
  context_management: STATELESS,
  tools: 'tools are served on /v1/chat/completions, where the model card has them',
  messages: 'call them input, or send them to /v1/chat/completions',
  max_tokens: 'call it max_output_tokens',
  session_id: 'the gateway decides it',
  mm_processor_kwargs: FROM_CARD,
  media_io_kwargs: FROM_CARD,
  chat_template_kwargs: "the model's own template is used",
};

/** Fields that vLLM takes on this route under the names that it has for chat completions. */
const SHARED: readonly string[] = [
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'presence_penalty',
  'frequency_penalty',
  'repetition_penalty',
  'seed',
  'stop',
  'stop_token_ids',
  'ignore_eos',
  'logit_bias',
  'skip_special_tokens',
  'include_stop_str_in_output',
  'structured_outputs',
];

const text = wellFormed(z.string());
const label = { schema: textOf(LIMITS.label, 0), form: 'a text' };
const LOGPROBS = 'message.output_text.logprobs';
/** Parts of reasoning and of calls, which no answer here has. Clients ask for them unasked; they are named as ignored. */
const NEVER_THERE = [
  'reasoning.encrypted_content',
  'web_search_call.action.sources',
  'web_search_call.results',
  'file_search_call.results',
  'code_interpreter_call.outputs',
  'computer_call_output.output.image_url',
] as const;

/** Asked for unasked as well, of every model: there is no reasoning in an answer that it could be made of. */
const SUMMARY = z.enum(['auto', 'concise', 'detailed']).nullish();

/** The other fields that are handed to the engine as they are; a value that it would take and not act on is refused. */
const OWN: Readonly<Record<string, Field>> = {
  instructions: { schema: text, form: 'a text' },
  text: {
    schema: strictJson(
      objectOf(z.strictObject({ verbosity: z.literal('medium').nullish(), format: objectOf(TEXT_FORMAT).nullish() })),
    ),
    form: 'an object with a format of type text, json_object or json_schema, the last with name and schema; no other verbosity than medium',
  },
  reasoning: {
    schema: strictJson(
      objectOf(z.strictObject({ effort: EFFORT.nullish(), summary: SUMMARY, generate_summary: SUMMARY })),
    ),
    form: 'an object with an effort. Without effect, as no summaries are made: summary, generate_summary',
  },
  include: {
    schema: listOf(LIMITS.include, z.enum([LOGPROBS, ...NEVER_THERE])),
    form: `a list of ${LOGPROBS}; nothing else can be added to an answer. Without effect: ${NEVER_THERE.join(', ')}`,
  },
  top_logprobs: { schema: z.int().min(0).max(20), form: 'a whole number from 0 to 20' },
  truncation: { schema: z.literal('disabled'), form: 'disabled: a prompt is never cut in silence' },
  background: { schema: z.literal(false), form: 'false: an answer goes to who waits for it' },
  store: { schema: z.literal(false), form: 'false: nothing is stored here' },
  service_tier: { schema: z.enum(['auto', 'default']), form: 'auto or default: there is one tier' },
  tool_choice: { schema: z.enum(['auto', 'none']), form: 'auto or none, as no tools are served here' },
  parallel_tool_calls: { schema: z.boolean(), form: 'true or false' },
  max_tool_calls: { schema: z.int().min(1), form: 'a whole number, 1 or more' },
  metadata: {
    schema: objectOf(
      z
        .record(textOf(LIMITS.metadataKey, 0), textOf(LIMITS.metadataValue, 0))
        .meta({ maxProperties: LIMITS.metadata.most }),
      LIMITS.metadata,
    ),
    form: 'an object of texts',
  },
  user: label,
  safety_identifier: label,
  prompt_cache_key: label,
  stream_options: {
    // The closing event tells the usage, whoever asks; load generators ask as on the other routes.
    schema: objectOf(
      z.strictObject({
        include_obfuscation: z.literal(false).exactOptional(),
        include_usage: z.boolean().nullable().exactOptional(),
      }),
    ),
    form: 'without include_obfuscation: events are not padded; usage is always told',
  },
};
const ENVELOPE = ['model', 'stream', 'max_output_tokens'] as const;
const READ: ReadonlySet<string> = new Set(['input', ...ENVELOPE, ...SHARED, ...Object.keys(OWN)]);
/** Every field that shapes the answer, with what it must be. */
export const RESPONSES_FIELDS: Readonly<Record<string, Field>> = {
  ...Object.fromEntries(Object.entries(SAMPLING).filter(([name]) => SHARED.includes(name))),
  ...OWN,
};
/** Said by the gateway itself, or by no means. */
const NOT_PASSED: ReadonlySet<string> = new Set(['instructions', 'store', 'stream_options']);

/**
 * `/v1/responses`, without state: each field that a caller sends is in the engine's request, or the request is refused by
 * its name; what clients add to `include` and `reasoning` unasked is named as ignored. A stream passes as the engine wrote it and ends with `response.completed`, without `[DONE]`.
 */
export const openaiResponses: Dialect = {
  ...openaiAnswers,
  parse,
  /** OpenAI's `error` event; its SDKs make an exception of an event that has a member `error`, and of no other. */
  renderStreamFailure: (failure, eventsBefore = 0) => {
    const error = errorObject(failure);
    const { code, message, param } = error;
    const event = { type: 'error', code, message, param, sequence_number: eventsBefore, error };
    return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
  },
};

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with an input');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, REFUSED);
  for (const [name, value] of fields)
    if (!READ.has(name) && !(name in REFUSED) && isSet(value)) throw unknown(shortName(name));
  const own: Record<string, JsonValue> = {};
  for (const [name, field] of Object.entries(OWN))
    if (!isAbsent(body[name])) own[name] = readField(field, body[name], name);
  if (typeof own['top_logprobs'] === 'number' && own['top_logprobs'] > 0 && !isLogged(own['include']))
    throw new Failure('invalid_request', `top_logprobs needs include to name ${LOGPROBS}`, { param: 'top_logprobs' });
  const messages = readInput(body['input']);
  const ignored = new IgnoredNames();
  if (Array.isArray(own['include'])) {
    const wanted = own['include'].filter((name) => name === LOGPROBS);
    for (const name of own['include'])
      if (typeof name === 'string' && name !== LOGPROBS) ignored.add(`include.${name}`);
    if (wanted.length > 0) own['include'] = wanted;
    else delete own['include'];
  }
  if (isObject(own['reasoning'])) {
    const { summary, generate_summary, ...rest } = own['reasoning'];
    for (const [name, value] of Object.entries({ summary, generate_summary }))
      if (!isAbsent(value)) ignored.add(`reasoning.${name}`);
    if (Object.keys(rest).length > 0) own['reasoning'] = rest;
    else delete own['reasoning'];
  }
  const sampling = {
    ...readSampling(body, SHARED, ''),
    ...Object.fromEntries(Object.entries(own).filter(([name]) => !NOT_PASSED.has(name))),
  };
  const { model, stream, max_output_tokens } = body;
  const envelope = readEnvelope({ model, stream, max_output_tokens }, ['max_output_tokens'], sampling, ignored);
  return {
    ...envelope,
    maxTokensParam: 'max_output_tokens',
    route: '/v1/responses',
    messages,
    messagesParam: 'input',
    imageParam: 'image_url',
    ...(typeof own['instructions'] === 'string' ? { instructions: own['instructions'] } : {}),
    sampling,
    ignored: ignored.list(),
  };
}

function isLogged(include: JsonValue | undefined): boolean {
  return Array.isArray(include) && include.includes(LOGPROBS);
}

function unknown(param: string): Failure {
  return new Failure('unsupported_parameter', `${param} is not accepted: this route has no such field`, { param });
}
