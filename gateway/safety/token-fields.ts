import { Failure } from '../failure.ts';
import type { ChatRequest } from '../request/chat.ts';

/**
 * Fields that bring tokens into an answer besides its text. An engine that watches for a stop text, or reads calls of
 * tools, sends tokens before their text, or tokens whose text it never sends (source: vLLM's `stop_buffer_length`).
 */
const TOKEN_FIELDS: readonly string[] = [
  'logprobs',
  'prompt_logprobs',
  'logprob_token_ids',
  'return_token_ids',
  'return_tokens_as_token_ids',
];
/** The value of `include` that does the same in a response. */
const INCLUDED = 'message.output_text.logprobs';

/**
 * A filter of answers reads text alone, so no answer may have tokens.
 * @throws Failure `unsupported_parameter`
 */
export function refuseTokenFields({ sampling, maxTokensParam }: ChatRequest): void {
  const include = sampling['include'];
  if (Array.isArray(include) && include.includes(INCLUDED)) throw refused('include', INCLUDED);
  const asked = TOKEN_FIELDS.find((name) => isAsked(sampling[name]));
  // Fields of one request are side by side.
  if (asked !== undefined) throw refused(maxTokensParam.slice(0, maxTokensParam.lastIndexOf('.') + 1) + asked);
}

/** `logprobs: 0` brings tokens too. */
function isAsked(value: ChatRequest['sampling'][string] | undefined): boolean {
  return value !== undefined && value !== null && value !== false;
}

function refused(param: string, value?: string): Failure {
  const name = value === undefined ? param : `${value} in ${param}`;
  const message = `${name} is not possible here: the operator filters answers, and the filter reads no tokens`;
  return new Failure('unsupported_parameter', message, { param });
}
