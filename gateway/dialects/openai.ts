import type { ChatRequest } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { Dialect } from './dialect.ts';
import { IgnoredNames, got, isAbsent, isObject } from './fields.ts';
import { readMessages } from './messages.ts';
import { errorObject, retryHeaders } from './openai-errors.ts';
import { SAMPLING, TOOL_FIELDS, readPositive, readSampling, readTools } from './sampling.ts';

/** Where a caller may say how long the answer may be; the first that is present counts. */
const MAX_TOKENS = ['max_completion_tokens', 'max_tokens', 'max_new_tokens'] as const;

/**
 * What the engine would take and a caller must not set: it steers scheduling, caches, templates or pictures of others,
 * or it would be dropped although the answer depends on it.
 */
const REFUSED: Readonly<Record<string, string>> = {
  priority: 'the gateway decides the order',
  request_id: 'send the header x-request-id',
  truncate_prompt_tokens: 'a prompt is never cut in silence',
  truncation_side: 'a prompt is never cut in silence',
  mm_processor_kwargs: 'the model card decides it',
  media_io_kwargs: 'the model card decides it',
  chat_template: "the model's own template is used",
  chat_template_kwargs: "the model's own template is used",
  documents: 'put their text into a message',
  cache_salt: 'the gateway decides it',
  kv_transfer_params: 'the gateway decides it',
  ec_transfer_params: 'the gateway decides it',
  vllm_xargs: 'the gateway decides it',
  functions: 'use tools',
  function_call: 'use tool_choice',
  audio: 'answers are text',
  web_search_options: 'there is no web search',
};

const READ: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'n',
  ...MAX_TOKENS,
  ...TOOL_FIELDS,
  ...Object.keys(SAMPLING),
]);

/** `/v1/chat/completions`, with the fields that vLLM adds to OpenAI's. */
export const openai: Dialect = {
  name: 'openai',
  parse,
  renderAnswer: (engineBody) => ({ status: 200, headers: { 'content-type': 'application/json' }, body: engineBody }),
  renderFailure: (failure) => ({
    status: failure.status,
    headers: { 'content-type': 'application/json', ...retryHeaders(failure) },
    body: JSON.stringify({ error: errorObject(failure) }),
  }),
  renderStreamFailure: (failure) => `data: ${JSON.stringify({ error: errorObject(failure) })}\n\n`,
};

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with messages');
  for (const [name, why] of Object.entries(REFUSED)) {
    const value = body[name];
    if (!isAbsent(value) && !(Array.isArray(value) && value.length === 0))
      throw new Failure('unsupported_parameter', `${name} is not accepted: ${why}`, { param: name });
  }
  const ignored = new IgnoredNames();
  const model = readModel(body['model']);
  const messages = readMessages(body['messages'], 'messages', ignored);
  const stream = readStream(body['stream']);
  const includeUsage = readStreamOptions(body['stream_options'], stream, ignored);
  const limits = MAX_TOKENS.map((param) => ({ param, tokens: readPositive(body[param], param) }));
  const limit = limits.find(({ tokens }) => tokens !== undefined);
  const sampling = { ...readSampling(body, Object.keys(SAMPLING), ''), ...readTools(body) };
  for (const [name, value] of Object.entries(body))
    if (!READ.has(name) && !Object.hasOwn(REFUSED, name) && !isAbsent(value)) ignored.add(name);
  return {
    ...(model === undefined ? {} : { model }),
    messages,
    stream,
    includeUsage,
    ...(limit?.tokens === undefined ? {} : { maxTokens: limit.tokens }),
    maxTokensParam: limit?.param ?? 'max_tokens',
    messagesParam: 'messages',
    choices: readPositive(body['n'], 'n') ?? 1,
    sampling,
    ignored: ignored.list(),
  };
}

function readModel(value: unknown): string | undefined {
  if (isAbsent(value)) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  throw new Failure('invalid_request', `model must be the name of a model${got(value)}`, { param: 'model' });
}

/** Azure's own samples send the word as Python prints it. */
function readStream(value: unknown): boolean {
  if (isAbsent(value)) return false;
  if (typeof value === 'boolean') return value;
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  if (word === 'true' || word === 'false') return word === 'true';
  throw new Failure('invalid_request', `stream must be true or false${got(value)}`, { param: 'stream' });
}

/** @returns whether the caller wants the closing usage event */
function readStreamOptions(value: unknown, stream: boolean, ignored: IgnoredNames): boolean {
  if (isAbsent(value)) return false;
  if (!isObject(value))
    throw new Failure('invalid_request', `stream_options must be an object${got(value)}`, { param: 'stream_options' });
  if (!stream && Object.keys(value).length > 0)
    throw new Failure('invalid_request', 'stream_options may only be given when stream is true', {
      param: 'stream_options',
    });
  for (const [name, option] of Object.entries(value))
    if (name !== 'include_usage' && !isAbsent(option)) ignored.add(`stream_options.${name}`);
  const wanted = value['include_usage'] ?? false;
  if (typeof wanted === 'boolean') return wanted;
  const param = 'stream_options.include_usage';
  throw new Failure('invalid_request', `${param} must be true or false${got(wanted)}`, { param });
}
