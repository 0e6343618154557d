import { LARGEST_BATCH } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';

/** The limit of something in a request. */
export interface Limit {
  readonly most: number;
  /** what is counted, with the words of gateway/README.md's table of limits and of the refusal */
  readonly of: string;
  readonly unit: string;
}
const limit = (most: number, unit: string, of: string): Limit => ({ most, unit, of });

/**
 * Limits of every list, text and schema of every route. OpenAI's API gives the number if it has one; numbers of vLLM
 * are marked. The length of a text that becomes part of the prompt is limited by the model card's context.
 */
export const LIMITS = {
  fields: limit(128, 'fields', 'fields of a body, or of one object in it'),
  model: limit(256, 'characters', 'characters of `model`'),
  /** OpenAI's */
  messages: limit(2_048, 'messages', 'messages of a conversation'),
  parts: limit(4_096, 'parts', 'parts of all messages together'),
  /** OpenAI's, for functions and schemas */
  name: limit(64, 'characters', 'characters of the name of a message, function or schema'),
  id: limit(512, 'characters', 'characters of the id of a tool call, item or response'),
  /** OpenAI's */
  tools: limit(128, 'tools', 'tools'),
  toolCalls: limit(128, 'calls', 'tool calls of a message'),
  toolArguments: limit(262_144, 'characters', 'characters of the arguments of a tool call'),
  description: limit(16_384, 'characters', 'characters of a description or title of a tool or schema'),
  /** OpenAI allows 4; callers of vLLM send more. An engine checks each entry after each token. */
  stop: limit(16, 'entries', 'entries of `stop`'),
  stopText: limit(1_024, 'characters', 'characters of an entry of `stop`'),
  /** of vLLM's sampler, like `badWords` */
  stopTokenIds: limit(128, 'ids', 'ids of `stop_token_ids` or `eos_token_id`'),
  /** OpenAI's */
  logitBias: limit(300, 'ids', 'ids of `logit_bias`'),
  badWords: limit(128, 'entries', 'entries of `bad_words`'),
  badWord: limit(256, 'characters', 'characters of an entry of `bad_words`'),
  allowedTokenIds: limit(1_024, 'ids', 'ids of `allowed_token_ids`'),
  /** vLLM's */
  logprobTokenIds: limit(128, 'ids', 'ids of `logprob_token_ids`'),
  include: limit(16, 'entries', 'entries of `include` or `modalities`'),
  /** OpenAI's, as the next two */
  metadata: limit(16, 'fields', 'fields of `metadata`'),
  metadataKey: limit(64, 'characters', 'characters of a key of `metadata`'),
  metadataValue: limit(512, 'characters', 'characters of a value of `metadata`'),
  label: limit(512, 'characters', 'characters of `user`, `safety_identifier` or `prompt_cache_key`'),
  /** OpenAI's, as the next two */
  schemaProperties: limit(5_000, 'properties', 'properties of a JSON schema'),
  schemaEnums: limit(1_000, 'values', 'values of all `enum` of a JSON schema together'),
  schemaTexts: limit(120_000, 'characters', 'characters of all names and values of a JSON schema together'),
  /** vLLM's */
  nesting: limit(64, 'levels', 'levels of a JSON schema, of groups in a regular expression or grammar'),
  choices: limit(1_000, 'entries', 'entries of `structured_outputs.choice`'),
  regex: limit(4_096, 'characters', 'characters of a regular expression'),
  grammar: limit(65_536, 'characters', 'characters of a grammar'),
  grammarRules: limit(1_000, 'rules', 'rules of a grammar'),
  /** xgrammar 0.2 takes 1.5 s for 128 optional pieces in a row, and minutes for 512 */
  quantifiers: limit(
    128,
    'quantifiers',
    'quantifiers (`?`, `*`, `{2,9}`, an empty alternative) in all regular expressions of a schema, or in a grammar',
  ),
  repetitions: limit(
    65_536,
    'repetitions',
    'largest number in a quantifier, or in `maxLength`, `minItems` and the like',
  ),
  window: limit(1_024, 'tokens', 'numbers of `repetition_detection`'),
} as const satisfies Readonly<Record<string, Limit>>;

/** @throws Failure `invalid_request` that names the field, the number seen and the limit */
export function checkLimit(limited: Limit, seen: number, param: string): void {
  if (seen > limited.most) throw overLimit(limited, seen, param);
}

/** The problem of a text with half a character. */
export const HALF_CHARACTER =
  'has half of a character (a surrogate without its pair), as in a text that was cut inside an emoji';

/** The name of the entire body, which is no param. */
export const BODY = 'the body';

/** The failure above a limit. */
export function overLimit({ most, unit }: Limit, seen: number, param: string): Failure {
  const message = `${param} has ${seen} ${unit}; the limit is ${most}`;
  const at = param === BODY ? {} : { param };
  return new Failure('invalid_request', message, { ...at, asked: seen, allowed: most });
}

/** @throws Failure `batch_not_supported` for more prompts than any card allows, before any of them is read */
export function checkBatch(seen: number, param: string): void {
  if (seen <= LARGEST_BATCH) return;
  const message = `${param} holds ${seen} prompts; the limit is ${LARGEST_BATCH} per request: send the rest in a request of its own`;
  throw new Failure('batch_not_supported', message, { param, asked: seen, allowed: LARGEST_BATCH });
}
