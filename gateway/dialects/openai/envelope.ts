import type { ChatRequest } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { Dialect } from '../dialect.ts';
import { fieldsOf, got, isAbsent, isObject, isSet, shortName } from '../reading/fields.ts';
import type { IgnoredNames } from '../reading/fields.ts';
import { LIMITS, checkLimit } from '../reading/limits.ts';
import { errorObject, retryHeaders } from './errors.ts';
import type { Column } from '../reading/request-fields.ts';
import { readChoices, readPositive } from '../reading/sampling.ts';

/** The common part of OpenAI's two completion routes: everything except the prompt and the form of the answer. */

type Envelope = Pick<
  ChatRequest,
  'model' | 'stream' | 'includeUsage' | 'continuousUsage' | 'choices' | 'maxTokens' | 'maxTokensParam'
>;

/** @param limits fields that may limit the length of the answer; the first that is present counts */
export function readEnvelope(
  body: Readonly<Record<string, unknown>>,
  limits: readonly string[],
  sampling: ChatRequest['sampling'],
  ignored: IgnoredNames,
): Envelope {
  const model = readModel(body['model']);
  const stream = readStream(body['stream']);
  const usage = readStreamOptions(body['stream_options'], stream, ignored);
  const given = limits.map((param) => ({ param, tokens: readPositive(body[param], param) }));
  const limit = given.find(({ tokens }) => tokens !== undefined);
  return {
    ...(model === undefined ? {} : { model }),
    stream,
    ...usage,
    ...(limit?.tokens === undefined ? {} : { maxTokens: limit.tokens }),
    maxTokensParam: limit?.param ?? 'max_tokens',
    choices: readChoices(body['n'], 'n', sampling),
  };
}

/**
 * Refuses fields that a route does not support. null, '', [] and {} count as not set.
 * @throws Failure `unsupported_parameter` with the field and the reason
 */
export function refuseFields(body: Readonly<Record<string, unknown>>, column: Column): void {
  for (const [name, verdict] of column) {
    const value = body[name];
    const isFixed = verdict.kind === 'fixed';
    if (!(isFixed || verdict.kind === 'refused') || !isSet(value)) continue;
    if (isFixed && verdict.field.schema.safeParse(value).success) continue;
    throw new Failure('unsupported_parameter', `${name} is not accepted: ${verdict.why}`, { param: name });
  }
}

/**
 * Records the fields that are set and have no effect, known and unknown ones.
 * @param prefix before their names in the report
 */
export function nameIgnored(
  fields: readonly (readonly [name: string, value: unknown])[],
  column: Column,
  ignored: IgnoredNames,
  prefix = '',
): void {
  for (const [name, value] of fields)
    if ((column.get(name)?.kind ?? 'ignored') === 'ignored' && isSet(value)) ignored.add(prefix + name);
}

/**
 * Checks labels, which reach no engine, against their limits only.
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
export const openaiAnswers: Pick<
  Dialect,
  'name' | 'errorSchema' | 'renderAnswer' | 'renderFailure' | 'renderStreamFailure'
> = {
  name: 'openai',
  errorSchema: 'OpenAIError',
  renderAnswer: (engineBody) => ({ status: 200, headers: { 'content-type': 'application/json' }, body: engineBody }),
  renderFailure: (failure) => ({
    status: failure.status,
    headers: { 'content-type': 'application/json', ...retryHeaders(failure) },
    body: JSON.stringify({ error: errorObject(failure) }),
  }),
  renderStreamFailure: (failure) => `data: ${JSON.stringify({ error: errorObject(failure) })}\n\n`,
};

function readModel(value: unknown): string | undefined {
  // vLLM takes an empty name as none.
  if (isAbsent(value) || value === '') return undefined;
  if (typeof value === 'string') {
    checkLimit(LIMITS.model, value.length, 'model');
    return value;
  }
  throw new Failure('invalid_request', `model must be the name of a model${got(value)}`, { param: 'model' });
}

/** Azure's own samples send the boolean as a word in Python's spelling. */
function readStream(value: unknown): boolean {
  if (isAbsent(value)) return false;
  if (typeof value === 'boolean') return value;
  const word = typeof value === 'string' && value.length <= 5 ? value.toLowerCase() : '';
  if (word === 'true' || word === 'false') return word === 'true';
  throw new Failure('invalid_request', `stream must be true or false${got(value)}`, { param: 'stream' });
}

/** @returns whether the caller requests usage: in an event at the end, and in each event as well */
function readStreamOptions(
  value: unknown,
  stream: boolean,
  ignored: IgnoredNames,
): Pick<ChatRequest, 'includeUsage' | 'continuousUsage'> {
  if (isAbsent(value)) return { includeUsage: false };
  if (!isObject(value))
    throw new Failure('invalid_request', `stream_options must be an object${got(value)}`, { param: 'stream_options' });
  const fields = fieldsOf(value, 'stream_options');
  if (!stream && isSet(value))
    throw new Failure('invalid_request', 'stream_options may only be given when stream is true', {
      param: 'stream_options',
    });
  const includeUsage = readOption(value, 'include_usage');
  // An engine counts in each event only if it also counts at the end.
  const continuous = readOption(value, 'continuous_usage_stats') && includeUsage;
  const read = ['include_usage', ...(includeUsage ? ['continuous_usage_stats'] : [])];
  for (const [name, option] of fields) if (!read.includes(name) && isSet(option)) ignored.add(`stream_options.${name}`);
  return { includeUsage, ...(continuous ? { continuousUsage: true } : {}) };
}

function readOption(options: Readonly<Record<string, unknown>>, name: string): boolean {
  const wanted = options[name] ?? false;
  if (typeof wanted === 'boolean') return wanted;
  const param = `stream_options.${name}`;
  throw new Failure('invalid_request', `${param} must be true or false${got(wanted)}`, { param });
}
