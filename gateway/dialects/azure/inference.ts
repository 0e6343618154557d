import type { ChatRequest, StreamIdentity } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import { describeInferenceChat, describeInferenceCompletions } from './describe.ts';
import { azureErrorBody } from './errors.ts';
import type { Dialect, Said } from '../dialect.ts';
import { fieldsOf, got, isAbsent, isObject, isSet, shortName, shortValue } from '../reading/fields.ts';
import { BODY } from '../reading/limits.ts';
import { openaiCompletions } from '../openai/completions.ts';
import { errorObject, retryHeaders } from '../openai/errors.ts';
import { openai } from '../openai/chat.ts';
import { columnOf } from '../reading/request-fields.ts';

/** Fields of the API; all others are extra parameters (source: Azure's specification of ModelClient). */
const CHAT: ReadonlySet<string> = new Set(columnOf('inference-chat').keys());
const COMPLETIONS: ReadonlySet<string> = new Set(columnOf('inference-completions').keys());
/** Formats of this API, without the engine's own one. */
const FORMATS: readonly unknown[] = ['text', 'json_object', 'json_schema'];

const MODES = ['error', 'drop', 'pass-through'] as const;
const MODE_HEADER = 'extra-parameters';
const MODEL_HEADER = 'x-ms-model-mesh-model-name';
/** Limit for the extra parameters that a refusal names. */
const MOST_EXTRAS = 32;
/** An extra parameter of a chat with such a name could be a prompt. */
const NEVER_QUOTED = /prompt|input|message|content|text|image|document|system|key|token$/i;

/**
 * Azure AI Model Inference API. It has OpenAI's shapes. Fields that the API does not know are extra parameters, which
 * the caller's header `extra-parameters` passes, drops or refuses. Answers are the engine's own, as on OpenAI's routes.
 */
export function createAzureInference(deploymentName: string): {
  readonly chat: Dialect;
  readonly completions: Dialect;
} {
  const headers = { 'azureml-model-deployment': deploymentName, 'azureml-model-session': deploymentName };
  const answers = { ...ANSWERS, headers };
  return {
    chat: {
      ...answers,
      parse: (body, said) => parse(body, said, CHAT, openai),
      describe: (described) => describeInferenceChat(described, MODES),
      emptyEvent: (stream) => emptyEvent(stream, 'chat.completion.chunk', { delta: { content: '' }, logprobs: null }),
    },
    completions: {
      ...answers,
      parse: (body, said) => parse(body, said, COMPLETIONS, openaiCompletions),
      describe: (described) => describeInferenceCompletions(described, MODES),
      emptyEvent: (stream) => emptyEvent(stream, 'text_completion', { text: '', logprobs: null }),
    },
  };
}

/** Without comments and named events: the parser of Azure's Python SDK stops at either. */
const ANSWERS: Omit<Dialect, 'parse' | 'headers' | 'emptyEvent' | 'describe'> = {
  name: 'azure_inference',
  durable: true,
  errorSchema: 'AzureError',
  renderAnswer: (engineBody, facts) => openai.renderAnswer(engineBody, facts),
  renderFailure: (failure) => {
    const status = statusOf(failure);
    return {
      status,
      headers: { 'content-type': 'application/json', ...retryHeaders(failure), 'x-ms-error-code': failure.code },
      body: JSON.stringify(azureErrorBody(failure, status)),
    };
  },
  renderStreamFailure: (failure) => `data: ${JSON.stringify({ error: errorObject(failure) })}\n\n`,
  cutsBrokenStreams: true,
};

/**
 * Azure's container answers 422 to a violation of its schema (a value out of range, an unknown role, no message). A
 * violation of the model card's or API's rules is 400 there too, and so is any unsupported choice of tools.
 */
function statusOf({ code, status, options: { param } }: Failure): number {
  return code === 'invalid_request' && param?.startsWith('tool_choice') !== true ? 422 : status;
}

/** The body for OpenAI's parser: with the model from the header, and extra parameters treated as requested. */
function parse(body: unknown, said: Said | undefined, known: ReadonlySet<string>, inner: Dialect): ChatRequest {
  if (!isObject(body)) return inner.parse(body);
  const fields = fieldsOf(body, BODY);
  const mode = readMode(said?.headers[MODE_HEADER]);
  const model = said?.headers[MODEL_HEADER];
  const named = isAbsent(body['model']) && typeof model === 'string' && model !== '' ? { ...body, model } : body;
  if (known.has('response_format')) readFormat(body['response_format']);
  const extras = fields.filter(([name, value]) => !known.has(name) && isSet(value)).map(([name]) => name);
  if (extras.length === 0 || mode === 'pass-through') return inner.parse(named);
  if (mode === 'error') throw refusal(body, extras);
  const request = inner.parse(Object.fromEntries(Object.entries(named).filter(([name]) => known.has(name))));
  const dropped = extras.slice(0, MOST_EXTRAS).map(shortName);
  return { ...request, ignored: [...dropped, ...request.ignored] };
}

function readMode(value: unknown): (typeof MODES)[number] {
  if (isAbsent(value) || value === '') return 'error';
  const mode = MODES.find((one) => one === value);
  if (mode !== undefined) return mode;
  throw new Failure(
    'unsupported_parameter',
    `the header ${MODE_HEADER} must be one of ${MODES.join(', ')}${got(value)}`,
    {
      param: MODE_HEADER,
    },
  );
}

function readFormat(value: unknown): void {
  if (!isObject(value) || !isSet(value) || FORMATS.includes(value['type'])) return;
  const param = 'response_format.type';
  throw new Failure('invalid_request', `${param} must be one of ${FORMATS.join(', ')}${got(value['type'])}`, { param });
}

function refusal(body: Readonly<Record<string, unknown>>, names: readonly string[]): Failure {
  const extras = names.slice(0, MOST_EXTRAS).map((name) => {
    const input = NEVER_QUOTED.test(name) ? undefined : shortValue(body[name]);
    return { name: shortName(name), ...(input === undefined ? {} : { input }) };
  });
  const list = extras.map(({ name }) => `'${name}'`).join(', ');
  return new Failure(
    'unsupported_parameter',
    // Azure's words up to "the model": clients look for them and send the request again without the parameters in
    // brackets (BerriAI/litellm#9800).
    `Extra parameters [${list}] are not allowed when ${MODE_HEADER} is not set or set to be 'error'. Set ${MODE_HEADER} to 'pass-through' to pass to the model, or to 'drop'; a client of OpenAI's API needs a base URL that ends in /v1`,
    {
      param: extras[0]?.name ?? 'body',
      extras,
    },
  );
}

function emptyEvent({ id, created, model }: StreamIdentity, object: string, piece: object): string {
  const choices = [{ index: 0, ...piece, finish_reason: null }];
  return `data: ${JSON.stringify({ id, object, created, model, choices })}\n\n`;
}
