import { z } from 'zod';
import type { JsonValue } from '../../request/chat.ts';
import { isJson, orEmpty, strictJson } from './fields.ts';
import type { Field } from './fields.ts';
import { schemaFault } from './json-schema.ts';
import { checked, listOf, objectOf, textOf } from './limited.ts';
import { LIMITS } from './limits.ts';

/**
 * Forms of the fields of requests. Ranges are those of vLLM 0.32 and 0.33, so that they are checked before the queue.
 */

export const field = (schema: z.ZodType<JsonValue>, form: string): Field => ({ schema, form });

export const range = (low: number, high: number): Field =>
  field(z.number().min(low).max(high), `a number from ${low} to ${high}`);
export const upTo = (most: number): Field => field(z.int().min(0).max(most), `a whole number from 0 to ${most}`);
export const atLeast = (least: number): Field => field(z.int32().min(least), `a whole number, ${least} or more`);
/** A value that changes nothing; no other value is supported. */
export const nothingBut = (value: boolean | number | string): Field => field(z.literal(value), String(value));

export const FLAG = field(z.boolean(), 'true or false');
export const ANY_NUMBER = field(z.number(), 'a number');
export const ABOVE_0 = field(z.number().gt(0), 'a number above 0');
export const SHARE = field(z.number().gt(0).max(1), 'a number above 0 and up to 1');
/** A seed that JavaScript would round arrives as a string (`intake/json-structure.ts`); vLLM reads it as a number. */
const LARGE_SEED = z
  .string()
  .regex(/^-?\d{16,19}$/, { abort: true })
  .refine((text) => BigInt.asIntN(64, BigInt(text)) === BigInt(text));
/** Its limits are not in the document: JavaScript cannot write those of 64 bits exactly. */
const SEED_NUMBER = z.int().meta({ format: 'int64', minimum: undefined, maximum: undefined });
export const SEED = field(z.union([SEED_NUMBER, LARGE_SEED]), 'a whole number of at most 64 bits');
/** Words of no class here mean `default`, as on OpenAI's own API for accounts that lack a class. */
export const SERVICE_TIER = field(z.string().max(64), 'the name of a class of service');
export const LABEL = field(textOf(LIMITS.label, 0), 'a text');
export const ID = field(textOf(LIMITS.id, 1), 'an id');

/** Engines no longer make several answers to choose from. */
export const BEST_OF = field(z.literal(1), '1: no other answers are made than those requested with n');

/** Limit of the type only; the model card has the size of the vocabulary. */
export const TOKEN_ID = z.int32().min(0);
const IDS = 'a list of token ids';
export const STOP_TOKENS = field(listOf(LIMITS.stopTokenIds, TOKEN_ID), IDS);
export const ALLOWED_TOKENS = field(listOf(LIMITS.allowedTokenIds, TOKEN_ID), IDS);
export const LOGGED_TOKENS = field(listOf(LIMITS.logprobTokenIds, TOKEN_ID), IDS);
export const END_TOKENS = field(
  z.union([TOKEN_ID, listOf(LIMITS.stopTokenIds, TOKEN_ID)]),
  'a token id or a list of token ids',
);

const LIST_OF_TEXTS = 'a list of texts, none of them empty';
export const STOP = orEmpty(
  field(z.union([textOf(LIMITS.stopText), listOf(LIMITS.stop, textOf(LIMITS.stopText))]), `a text or ${LIST_OF_TEXTS}`),
);
export const BAD_WORDS = field(listOf(LIMITS.badWords, textOf(LIMITS.badWord)), LIST_OF_TEXTS);

/** A key of `logit_bias`, not longer than the largest id. */
const TOKEN_KEY = /^\d{1,10}$/;
export const LOGIT_BIAS = field(
  objectOf(
    z.record(z.string().regex(TOKEN_KEY), z.number().min(-100).max(100)).meta({ maxProperties: LIMITS.logitBias.most }),
    LIMITS.logitBias,
  ),
  'an object of token ids, each with a number from -100 to 100',
);

export const EFFORT = z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);
export const REASONING_EFFORT = field(EFFORT, 'one of none, minimal, low, medium, high, xhigh, max');
/** -1 means no limit. */
export const THINKING_BUDGET = atLeast(-1);

const windowed = z.int().min(0).max(LIMITS.window.most).optional();
export const REPETITION = field(
  strictJson(objectOf(z.strictObject({ max_pattern_size: windowed, min_pattern_size: windowed, min_count: windowed }))),
  `an object of max_pattern_size, min_pattern_size and min_count, each a whole number from 0 to ${LIMITS.window.most}`,
);

export const METADATA = field(
  objectOf(
    z
      .record(textOf(LIMITS.metadataKey, 0), textOf(LIMITS.metadataValue, 0))
      .meta({ maxProperties: LIMITS.metadata.most }),
    LIMITS.metadata,
  ),
  'an object of texts',
);

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
export const TOOLS = field(
  strictJson(listOf(LIMITS.tools, TOOL)),
  'a list of {"type": "function", "function": {"name": …}}',
);
/** For a route without tools. */
export const NO_TOOL_CHOICE = orEmpty(
  field(z.enum(['auto', 'none']), 'auto or none, because no tools are served here'),
);
/** Values that older clients send without functions. */
export const NO_FUNCTION = field(z.enum(['none', 'auto']), 'none or auto');
export const TOOL_CHOICE = orEmpty(
  field(
    strictJson(
      z.union([
        z.enum(['none', 'auto', 'required']),
        objectOf(z.looseObject({ type: z.literal('function'), function: functionNamed })),
      ]),
    ),
    'none, auto, required or {"type": "function", "function": {"name": …}}',
  ),
);
