import type { ChatRequest, Prompt } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { Dialect } from '../dialect.ts';
import { describeCompletions } from './describe.ts';
import { IgnoredNames, fieldsOf, got, isObject } from '../reading/fields.ts';
import { BODY, HALF_CHARACTER, checkBatch } from '../reading/limits.ts';
import { checkLabels, nameIgnored, openaiAnswers, readEnvelope, refuseFields } from './envelope.ts';
import { columnOf } from '../reading/request-fields.ts';
import { readFields } from '../reading/sampling.ts';

/** Length of an answer if the caller gives none: part of this API (source: OpenAI's reference; vLLM does the same). */
const DEFAULT_TOKENS = 16;
/** OpenAI's name for the limit, and the one that Azure's samples always send. */
const MAX_TOKENS = ['max_tokens', 'max_new_tokens'] as const;

const FIELDS = columnOf('completions');

/** `/v1/completions` continues a bare prompt without a chat template, with the fields that vLLM adds. */
export const openaiCompletions: Dialect = {
  ...openaiAnswers,
  durable: true,
  numbersEvents: true,
  parse,
  describe: describeCompletions,
};

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with a prompt');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, FIELDS);
  checkLabels(body);
  const ignored = new IgnoredNames();
  const prompts = readPrompts(body['prompt']);
  const sampling = readFields(body, FIELDS, '');
  const envelope = readEnvelope(body, MAX_TOKENS, sampling, ignored);
  nameIgnored(fields, FIELDS, ignored);
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

/** OpenAI's four forms. Many clients send their one prompt in a list, which is no batch. Content is never quoted. */
function readPrompts(value: unknown): readonly [Prompt, ...Prompt[]] {
  if (isPrompt(value)) return [value];
  const list: unknown[] = Array.isArray(value) ? value : [];
  if (typeof list[0] !== 'number') checkBatch(list.length, 'prompt');
  const wrong = list.findIndex((item) => !isPrompt(item));
  const at = list.length > 0 && wrong !== -1 ? `prompt[${wrong}]` : 'prompt';
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
