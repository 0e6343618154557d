import { z } from 'zod';
import type { JsonValue } from '#contract/chat';
import { Failure } from '#contract/failure';
import { RESPONSE_FORMAT, STRUCTURED_OUTPUTS } from './answer-format.ts';
import { isAbsent, isJson, readField, strictJson } from './fields.ts';
import type { Field } from './fields.ts';
import { schemaFault } from './json-schema.ts';
import { checked, listOf, objectOf, textOf } from './limited.ts';
import { LIMITS } from './limits.ts';

const field = (schema: z.ZodType<JsonValue>, form: string): Field => ({ schema, form });
const number = (low: number, high: number): Field =>
  field(z.number().min(low).max(high), `a number from ${String(low)} to ${String(high)}`);
const flag = field(z.boolean(), 'true or false');
const count = field(z.int32().min(0), 'a whole number, 0 or more');
/** A model's vocabulary is smaller: what lies in it, its card says. */
export const TOKEN_ID = z.int32().min(0);
/** As a key of `logit_bias`; no longer than the largest id. */
const TOKEN_KEY = /^\d{1,10}$/;
const windowed = z.int().min(0).max(LIMITS.window.most).optional();

export const EFFORT = z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);

/**
 * Every field of a chat completion that shapes the answer and is handed to the engine under its own name.
 * Ranges are those that vLLM 0.32 and 0.33 enforce, so that what they refuse is refused before the queue.
 */
export const SAMPLING: Readonly<Record<string, Field>> = {
  temperature: number(0, 2),
  top_p: field(z.number().gt(0).max(1), 'a number above 0 and up to 1'),
  top_k: field(z.int32().min(-1), 'a whole number, -1 or more'),
  min_p: number(0, 1),
  presence_penalty: number(-2, 2),
  frequency_penalty: number(-2, 2),
  repetition_penalty: field(z.number().gt(0), 'a number above 0'),
  length_penalty: field(z.number(), 'a number'),
  use_beam_search: flag,
  seed: field(z.int(), 'a whole number of at most 53 bits'),
  stop: field(
    z.union([textOf(LIMITS.stopText), listOf(LIMITS.stop, textOf(LIMITS.stopText))]),
    'a text or a list of texts, none of them empty',
  ),
  stop_token_ids: field(listOf(LIMITS.stopTokenIds, TOKEN_ID), 'a list of token ids'),
  include_stop_str_in_output: flag,
  ignore_eos: flag,
  min_tokens: count,
  bad_words: field(listOf(LIMITS.badWords, textOf(LIMITS.badWord)), 'a list of texts, none of them empty'),
  allowed_token_ids: field(listOf(LIMITS.allowedTokenIds, TOKEN_ID), 'a list of token ids'),
  logit_bias: field(
    objectOf(
      z
        .record(z.string().regex(TOKEN_KEY), z.number().min(-100).max(100))
        .meta({ maxProperties: LIMITS.logitBias.most }),
      LIMITS.logitBias,
    ),
    'an object of token ids, each with a number from -100 to 100',
  ),
  logprobs: flag,
  top_logprobs: field(z.int().min(0).max(20), 'a whole number from 0 to 20'),
  prompt_logprobs: field(z.int().min(0).max(20), 'a whole number from 0 to 20'),
  logprob_token_ids: field(listOf(LIMITS.logprobTokenIds, TOKEN_ID, 1), 'a list of token ids, not empty'),
  return_tokens_as_token_ids: flag,
  return_token_ids: flag,
  skip_special_tokens: flag,
  spaces_between_special_tokens: flag,
  echo: flag,
  add_generation_prompt: flag,
  continue_final_message: flag,
  response_format: RESPONSE_FORMAT,
  structured_outputs: STRUCTURED_OUTPUTS,
  reasoning_effort: field(EFFORT, 'one of none, minimal, low, medium, high, xhigh, max'),
  include_reasoning: flag,
  thinking_token_budget: count,
  repetition_detection: field(
    strictJson(
      objectOf(z.strictObject({ max_pattern_size: windowed, min_pattern_size: windowed, min_count: windowed })),
    ),
    `an object of max_pattern_size, min_pattern_size and min_count, each a whole number from 0 to ${String(LIMITS.window.most)}`,
  ),
  stream_interval: field(z.int32().min(1), 'a whole number, 1 or more'),
};

const functionNamed = objectOf(z.looseObject({ name: textOf(LIMITS.name) }));
const TOOL = checked(
  objectOf(
    z.looseObject({
      type: z.literal('function'),
      function: objectOf(
        z.looseObject({
          name: textOf(LIMITS.name),
          description: textOf(LIMITS.description, 0).nullish(),
          parameters: z.unknown().optional(),
        }),
      ),
    }),
  ),
  ({ function: { parameters } }) => {
    const fault = isJson(parameters ?? null) ? schemaFault(parameters) : undefined;
    return fault === undefined ? undefined : { ...fault, at: ['function', 'parameters', ...fault.at] };
  },
);
const TOOLS = field(strictJson(listOf(LIMITS.tools, TOOL)), 'a list of {"type": "function", "function": {"name": …}}');
const TOOL_CHOICE = field(
  strictJson(
    z.union([
      z.enum(['none', 'auto', 'required']),
      objectOf(z.looseObject({ type: z.literal('function'), function: functionNamed })),
    ]),
  ),
  'none, auto, required or {"type": "function", "function": {"name": …}}',
);
/** The fields that `readTools` answers for. */
export const TOOL_SCHEMAS = { tools: TOOLS, tool_choice: TOOL_CHOICE, parallel_tool_calls: flag } as const;
export const TOOL_FIELDS = ['tools', 'tool_choice', 'parallel_tool_calls'] as const;

/**
 * Reads the sampling fields that are present and not null.
 * @param names fields that this dialect knows; each is a key of `SAMPLING`
 * @param prefix what stands before a field's name in the caller's words, such as `input_data.parameters.`
 * @throws Failure `invalid_request` naming the field
 */
export function readSampling(
  body: Readonly<Record<string, unknown>>,
  names: readonly string[],
  prefix: string,
): Record<string, JsonValue> {
  const sampling: Record<string, JsonValue> = {};
  for (const name of names) {
    const known = SAMPLING[name];
    const value = body[name];
    if (known !== undefined && !isAbsent(value)) sampling[name] = readField(known, value, prefix + name);
  }
  if (typeof sampling['top_logprobs'] === 'number' && sampling['top_logprobs'] > 0 && sampling['logprobs'] !== true)
    throw new Failure('invalid_request', `${prefix}top_logprobs needs ${prefix}logprobs to be true`, {
      param: `${prefix}top_logprobs`,
    });
  return sampling;
}

/**
 * Tools, and what goes with them. An empty list is no tools: clients that send all their fields mean nothing by it, and
 * the engine would refuse it.
 * @throws Failure `invalid_request` naming the field, also when a call is demanded and there is no tool
 */
export function readTools(body: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const [tools, choice, parallel] = TOOL_FIELDS.map((name) => body[name]);
  const list = isAbsent(tools) ? [] : readField(TOOLS, tools, 'tools');
  const chosen = isAbsent(choice) ? undefined : readField(TOOL_CHOICE, choice, 'tool_choice');
  const together = isAbsent(parallel) ? undefined : readField(flag, parallel, 'parallel_tool_calls');
  if (Array.isArray(list) && list.length === 0) {
    if (chosen === undefined || chosen === 'auto' || chosen === 'none') return {};
    throw new Failure('invalid_request', 'tool_choice demands a call, but tools holds none', { param: 'tool_choice' });
  }
  return {
    tools: list,
    ...(chosen === undefined ? {} : { tool_choice: chosen }),
    ...(together === undefined ? {} : { parallel_tool_calls: together }),
  };
}

/**
 * Number of answers to one request.
 * @throws Failure `invalid_request` naming the field, also for several answers at temperature 0, which would be the same
 */
export function readChoices(value: unknown, param: string, sampling: Readonly<Record<string, JsonValue>>): number {
  const choices = readPositive(value, param) ?? 1;
  if (choices > 1 && sampling['temperature'] === 0 && sampling['use_beam_search'] !== true)
    throw new Failure('invalid_request', `${param} must be 1 at temperature 0, got ${String(choices)}`, { param });
  return choices;
}

/** Reads a whole number of at least 1, or undefined when absent. @throws Failure `invalid_request` naming the field */
export function readPositive(value: unknown, param: string): number | undefined {
  if (isAbsent(value)) return undefined;
  const read = readField(field(z.int().min(1), 'a whole number, 1 or more'), value, param);
  return typeof read === 'number' ? read : undefined;
}
