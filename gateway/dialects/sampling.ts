import { z } from 'zod';
import type { JsonValue } from '#contract/chat';
import { Failure } from '#contract/failure';
import { isAbsent, isWellFormed, json, readField } from './fields.ts';
import type { Field } from './fields.ts';

const field = (schema: z.ZodType<JsonValue>, form: string): Field => ({ schema, form });
const number = (low: number, high: number): Field =>
  field(z.number().min(low).max(high), `a number from ${String(low)} to ${String(high)}`);
const flag = field(z.boolean(), 'true or false');
const count = field(z.int().min(0), 'a whole number, 0 or more');
const tokenIds = field(z.array(z.int().min(0)), 'a list of token ids');
const object = (form: string, shape: z.ZodRawShape): Field => field(json.and(z.looseObject(shape)), form);
const text = z.string().min(1).refine(isWellFormed);
const functionName = z.looseObject({ name: text });

export const EFFORT = z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);

/**
 * Every field of a chat completion that shapes the answer and is handed to the engine under its own name.
 * Ranges are those that vLLM 0.32 and 0.33 enforce, so that what they refuse is refused before the queue.
 */
export const SAMPLING: Readonly<Record<string, Field>> = {
  temperature: number(0, 2),
  top_p: field(z.number().gt(0).max(1), 'a number above 0 and up to 1'),
  top_k: field(z.int().min(-1), 'a whole number, -1 or more'),
  min_p: number(0, 1),
  presence_penalty: number(-2, 2),
  frequency_penalty: number(-2, 2),
  repetition_penalty: field(z.number().gt(0), 'a number above 0'),
  length_penalty: field(z.number(), 'a number'),
  use_beam_search: flag,
  seed: field(z.int(), 'a whole number of at most 53 bits'),
  stop: field(z.union([text, z.array(text)]), 'a text or a list of texts, none of them empty'),
  stop_token_ids: tokenIds,
  include_stop_str_in_output: flag,
  ignore_eos: flag,
  min_tokens: count,
  bad_words: field(z.array(text), 'a list of texts, none of them empty'),
  allowed_token_ids: tokenIds,
  logit_bias: field(
    z.record(z.string().regex(/^\d+$/), z.number().min(-100).max(100)),
    'an object of token ids, each with a number from -100 to 100',
  ),
  logprobs: flag,
  top_logprobs: field(z.int().min(0).max(20), 'a whole number from 0 to 20'),
  prompt_logprobs: field(z.int().min(0).max(20), 'a whole number from 0 to 20'),
  logprob_token_ids: field(z.array(z.int().min(0)).min(1), 'a list of token ids, not empty'),
  return_tokens_as_token_ids: flag,
  return_token_ids: flag,
  skip_special_tokens: flag,
  spaces_between_special_tokens: flag,
  echo: flag,
  add_generation_prompt: flag,
  continue_final_message: flag,
  response_format: field(
    json.and(
      z.discriminatedUnion('type', [
        z.looseObject({ type: z.enum(['text', 'json_object', 'structural_tag']) }),
        z.looseObject({ type: z.literal('json_schema'), json_schema: functionName }),
      ]),
    ),
    'an object whose type is text, json_object or json_schema, the last with a named json_schema',
  ),
  structured_outputs: object('an object such as {"json": …}, {"regex": …} or {"choice": […]}', {}),
  reasoning_effort: field(EFFORT, 'one of none, minimal, low, medium, high, xhigh, max'),
  include_reasoning: flag,
  thinking_token_budget: count,
  repetition_detection: object('an object', {}),
  stream_interval: field(z.int().min(1), 'a whole number, 1 or more'),
};

const TOOLS = field(
  json.and(z.array(z.looseObject({ type: z.literal('function'), function: functionName }))),
  'a list of {"type": "function", "function": {"name": …}}',
);
const TOOL_CHOICE = field(
  json.and(
    z.union([
      z.enum(['none', 'auto', 'required']),
      z.looseObject({ type: z.literal('function'), function: functionName }),
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
