import { z } from 'zod';
import type { ChatRequest, JsonValue, Prompt } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { Dialect } from './dialect.ts';
import { IgnoredNames, fieldsOf, got, isAbsent, isObject, readField, type Field } from './fields.ts';
import { BODY, HALF_CHARACTER, checkBatch } from './limits.ts';
import { ENVELOPE, STEERING, checkLabels, openaiAnswers, readEnvelope, refuseFields } from './openai-envelope.ts';
import { SAMPLING, readSampling } from './sampling.ts';

/** Length of an answer when the caller says nothing: part of this API (source: OpenAI's reference; vLLM does the same). */
const DEFAULT_TOKENS = 16;
/** The name that OpenAI's API has, and the one that Azure's samples send everywhere. */
const MAX_TOKENS = ['max_tokens', 'max_new_tokens'] as const;

const REFUSED: Readonly<Record<string, string>> = {
  ...STEERING,
  suffix: 'the model cannot fill a gap',
  prompt_embeds: 'send the prompt as text',
  messages: 'send them to /v1/chat/completions',
  tools: 'send them with messages to /v1/chat/completions',
};

/** Fields of `SAMPLING` that this route of the engine does not have, or has in another form. */
const CHAT_ONLY: ReadonlySet<string> = new Set([
  'logprobs',
  'top_logprobs',
  'logprob_token_ids',
  'add_generation_prompt',
  'continue_final_message',
  'reasoning_effort',
  'include_reasoning',
  'thinking_token_budget',
]);
const SHARED: readonly string[] = Object.keys(SAMPLING).filter((name) => !CHAT_ONLY.has(name));
const LOGPROBS = { schema: z.int().min(0).max(20), form: 'a whole number from 0 to 20' };
const SPECIAL_TOKENS = { schema: z.boolean(), form: 'true or false' };
/** More answers than are shown, to choose from: engines no longer do that. */
export const BEST_OF = { schema: z.literal(1), form: '1, as no other answers are made than those asked for with n' };

/** Every field that shapes the answer, with what it must be. */
export const COMPLETION_FIELDS: Readonly<Record<string, Field>> = {
  ...Object.fromEntries(Object.entries(SAMPLING).filter(([name]) => SHARED.includes(name))),
  logprobs: LOGPROBS,
  add_special_tokens: SPECIAL_TOKENS,
  best_of: BEST_OF,
};

const READ: ReadonlySet<string> = new Set([
  'prompt',
  'logprobs',
  'add_special_tokens',
  'best_of',
  ...ENVELOPE,
  ...MAX_TOKENS,
  ...SHARED,
  ...Object.keys(REFUSED),
]);

/** `/v1/completions`: a bare prompt is continued, without a chat template; with the fields that vLLM adds. */
export const openaiCompletions: Dialect = { ...openaiAnswers, parse };

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with a prompt');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, REFUSED);
  checkLabels(body);
  const ignored = new IgnoredNames();
  const prompts = readPrompts(body['prompt']);
  const sampling = { ...readSampling(body, SHARED, ''), ...readOwn(body) };
  const envelope = readEnvelope(body, MAX_TOKENS, sampling, ignored);
  for (const [name, value] of fields) if (!READ.has(name) && !isAbsent(value)) ignored.add(name);
  return {
    maxTokens: DEFAULT_TOKENS,
    ...envelope,
    messages: [],
    prompts,
    messagesParam: 'prompt',
    sampling,
    ignored: ignored.list(),
  };
}

function readOwn(body: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const own: Record<string, JsonValue> = {};
  const { logprobs, add_special_tokens: special, best_of: best } = body;
  if (!isAbsent(logprobs)) own['logprobs'] = readField(LOGPROBS, logprobs, 'logprobs');
  if (!isAbsent(special)) own['add_special_tokens'] = readField(SPECIAL_TOKENS, special, 'add_special_tokens');
  if (!isAbsent(best)) readField(BEST_OF, best, 'best_of');
  return own;
}

/** OpenAI's four forms; many clients send their one prompt in a list, which is no batch. Content is never quoted. */
function readPrompts(value: unknown): readonly [Prompt, ...Prompt[]] {
  if (isPrompt(value)) return [value];
  const list: unknown[] = Array.isArray(value) ? value : [];
  if (typeof list[0] !== 'number') checkBatch(list.length, 'prompt');
  const wrong = list.findIndex((item) => !isPrompt(item));
  const at = list.length > 0 && wrong !== -1 ? `prompt[${String(wrong)}]` : 'prompt';
  const [first, ...more] = list.filter(isPrompt);
  if (first !== undefined && wrong === -1) return [first, ...more];
  const fault = list.length === 0 ? value : list[wrong];
  if (typeof fault === 'string' && fault !== '')
    throw new Failure('invalid_request', `${at} ${HALF_CHARACTER}`, { param: at });
  const problem = 'prompt must be a text, not empty, or a list of token ids';
  const found = at === 'prompt' ? got(value) : `; the fault is at ${at}`;
  throw new Failure('invalid_request', problem + found, { param: at });
}

export function isPrompt(value: unknown): value is Prompt {
  if (typeof value === 'string') return value !== '' && value.isWellFormed();
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}
