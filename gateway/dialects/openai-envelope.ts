import type { ChatRequest } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { Dialect } from './dialect.ts';
import { fieldsOf, got, isAbsent, isObject, isSet, shortName } from './fields.ts';
import type { IgnoredNames } from './fields.ts';
import { LIMITS, checkLimit } from './limits.ts';
import { errorObject, retryHeaders } from './openai-errors.ts';
import { readChoices, readPositive } from './sampling.ts';

/** What OpenAI's two completion routes have in common: everything but what is to be answered and how to shape it. */

/** What an engine would take on both routes and a caller must not set, and why. */
export const STEERING: Readonly<Record<string, string>> = {
  priority: 'the gateway decides the order',
  request_id: 'send the header x-request-id',
  truncate_prompt_tokens: 'a prompt is never cut in silence',
  truncation_side: 'a prompt is never cut in silence',
  cache_salt: 'the gateway decides it',
  kv_transfer_params: 'the gateway decides it',
  ec_transfer_params: 'the gateway decides it',
  vllm_xargs: 'the gateway decides it',
  ...Object.fromEntries(
    ['json', 'regex', 'choice', 'grammar', 'json_object', 'whitespace_pattern', 'decoding_backend'].map((name) => [
      `guided_${name}`,
      'vLLM no longer reads it; use structured_outputs or response_format',
    ]),
  ),
};

/** Names of the fields that `readEnvelope` answers for. */
export const ENVELOPE = ['model', 'stream', 'stream_options', 'n'] as const;

type Envelope = Pick<ChatRequest, 'model' | 'stream' | 'includeUsage' | 'choices' | 'maxTokens' | 'maxTokensParam'>;

/** @param limits where a caller may say how long the answer may be; the first that is present counts */
export function readEnvelope(
  body: Readonly<Record<string, unknown>>,
  limits: readonly string[],
  sampling: ChatRequest['sampling'],
  ignored: IgnoredNames,
): Envelope {
  const model = readModel(body['model']);
  const stream = readStream(body['stream']);
  const includeUsage = readStreamOptions(body['stream_options'], stream, ignored);
  const given = limits.map((param) => ({ param, tokens: readPositive(body[param], param) }));
  const limit = given.find(({ tokens }) => tokens !== undefined);
  return {
    ...(model === undefined ? {} : { model }),
    stream,
    includeUsage,
    ...(limit?.tokens === undefined ? {} : { maxTokens: limit.tokens }),
    maxTokensParam: limit?.param ?? 'max_tokens',
    choices: readChoices(body['n'], 'n', sampling),
  };
}

/** @throws Failure `unsupported_parameter` for a field of `refused` that is set; null, '', [] and {} are not set */
export function refuseFields(body: Readonly<Record<string, unknown>>, refused: Readonly<Record<string, string>>): void {
  for (const [name, why] of Object.entries(refused)) {
    if (isSet(body[name]))
      throw new Failure('unsupported_parameter', `${name} is not accepted: ${why}`, { param: name });
  }
}

/**
 * Holds labels that reach no engine to their limits, whatever else they are.
 * @throws Failure `invalid_request` naming the field
 */
export function checkLabels(body: Readonly<Record<string, unknown>>): void {
  for (const name of ['user', 'safety_identifier', 'prompt_cache_key'])
    if (typeof body[name] === 'string') checkLimit(LIMITS.label, body[name].length, name);
  const { metadata } = body;
  if (!isObject(metadata)) return;
  checkLimit(LIMITS.metadata, Object.keys(metadata).length, 'metadata');
  for (const [key, value] of Object.entries(metadata)) {
    const at = `metadata.${shortName(key)}`;
    checkLimit(LIMITS.metadataKey, key.length, at);
    if (typeof value === 'string') checkLimit(LIMITS.metadataValue, value.length, at);
  }
}

/** Answers, failures and the end of a broken stream, as OpenAI's clients read them. */
export const openaiAnswers: Pick<Dialect, 'name' | 'renderAnswer' | 'renderFailure' | 'renderStreamFailure'> = {
  name: 'openai',
  renderAnswer: (engineBody) => ({ status: 200, headers: { 'content-type': 'application/json' }, body: engineBody }),
  renderFailure: (failure) => ({
    status: failure.status,
    headers: { 'content-type': 'application/json', ...retryHeaders(failure) },
    body: JSON.stringify({ error: errorObject(failure) }),
  }),
  renderStreamFailure: (failure) => `data: ${JSON.stringify({ error: errorObject(failure) })}\n\n`,
};

function readModel(value: unknown): string | undefined {
  if (isAbsent(value)) return undefined;
  if (typeof value === 'string' && value !== '') {
    checkLimit(LIMITS.model, value.length, 'model');
    return value;
  }
  throw new Failure('invalid_request', `model must be the name of a model${got(value)}`, { param: 'model' });
}

/** Azure's own samples send the word as Python prints it. */
function readStream(value: unknown): boolean {
  if (isAbsent(value)) return false;
  if (typeof value === 'boolean') return value;
  const word = typeof value === 'string' && value.length <= 5 ? value.toLowerCase() : '';
  if (word === 'true' || word === 'false') return word === 'true';
  throw new Failure('invalid_request', `stream must be true or false${got(value)}`, { param: 'stream' });
}

/** @returns whether the caller wants the closing usage event */
function readStreamOptions(value: unknown, stream: boolean, ignored: IgnoredNames): boolean {
  if (isAbsent(value)) return false;
  if (!isObject(value))
    throw new Failure('invalid_request', `stream_options must be an object${got(value)}`, { param: 'stream_options' });
  const fields = fieldsOf(value, 'stream_options');
  if (!stream && fields.length > 0)
    throw new Failure('invalid_request', 'stream_options may only be given when stream is true', {
      param: 'stream_options',
    });
  for (const [name, option] of fields)
    if (name !== 'include_usage' && !isAbsent(option)) ignored.add(`stream_options.${name}`);
  const wanted = value['include_usage'] ?? false;
  if (typeof wanted === 'boolean') return wanted;
  const param = 'stream_options.include_usage';
  throw new Failure('invalid_request', `${param} must be true or false${got(wanted)}`, { param });
}
