import { z } from 'zod';
import type { ChatRequest, JsonValue } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { Dialect, Rendered } from './dialect.ts';
import { IgnoredNames, isAbsent, isObject, readField } from './fields.ts';
import { readMessages } from './messages.ts';
import { errorObject, retryHeaders } from './openai-errors.ts';
import { readChoices, readPositive, readSampling } from './sampling.ts';

const MESSAGES = 'input_data.input_string';
const PARAMETERS = 'input_data.parameters';
const SHAPE = `{"input_data": {"input_string": [{"role": "user", "content": …}], "parameters": {…}}}`;

/** Names for the answer's length; the first that is present counts, as in Azure's container. */
const MAX_TOKENS = ['max_new_tokens', 'max_gen_len', 'max_tokens'] as const;
/** Handed to the engine as they are; each is a key of `SAMPLING`. */
export const PASSED = [
  'temperature',
  'top_p',
  'top_k',
  'presence_penalty',
  'frequency_penalty',
  'stop',
  'stop_token_ids',
  'ignore_eos',
  'logprobs',
  'skip_special_tokens',
  'use_beam_search',
  'length_penalty',
] as const;
const READ: ReadonlySet<string> = new Set([...MAX_TOKENS, ...PASSED, 'n', 'do_sample', 'eos_token_id']);

/** Statuses that Azure's endpoint itself answers; all others come from its container and are wrapped into 424. */
const ENDPOINT_STATUSES: ReadonlySet<number> = new Set([401, 403, 405, 408, 429, 499, 503]);

const Answer = z.object({
  choices: z.tuple([z.object({ message: z.object({ content: z.string().nullish() }) })]).rest(z.unknown()),
});

/**
 * `POST /score` of an Azure ML managed online endpoint, task chat-completion: request shape and parameters as the
 * container of Azure's catalog models reads them, failures as the endpoint in front of it answers them.
 * @param options.deploymentName what the header `azureml-model-deployment` says
 * @param options.card name of the card of the model behind this route, told when a batch is refused
 */
export function createAzureScore(options: { readonly deploymentName: string; readonly card?: string }): Dialect {
  const deployment = { 'azureml-model-deployment': options.deploymentName };
  return {
    name: 'azure_score',
    parse: (body) => parse(body, options.card),
    renderAnswer: (engineBody) => ({
      status: 200,
      headers: { 'content-type': 'application/json', ...deployment },
      body: JSON.stringify({ output: outputOf(engineBody) }),
    }),
    renderFailure: (failure) => renderFailure(failure, deployment),
    /** This route never streams. */
    renderStreamFailure: () => '',
  };
}

function parse(body: unknown, card: string | undefined): ChatRequest {
  const ignored = new IgnoredNames();
  const inputData = readInputData(body, ignored);
  const input = inputData['input_string'];
  if (Array.isArray(input)) refuseLists(input, card);
  else throw shape(MESSAGES, isAbsent(input) ? 'a list of messages, and is missing' : 'a list of messages');
  const parameters = inputData['parameters'] ?? {};
  if (!isObject(parameters)) throw shape(PARAMETERS, 'an object');
  for (const [name, value] of Object.entries(parameters))
    if (!READ.has(name) && !isAbsent(value)) ignored.add(`parameters.${name}`);
  const limits = MAX_TOKENS.map((name) => {
    const param = `${PARAMETERS}.${name}`;
    return { param, tokens: readPositive(parameters[name], param) };
  });
  const limit = limits.find(({ tokens }) => tokens !== undefined);
  const sampling = readParameters(parameters);
  return {
    messages: readMessages(input, MESSAGES, ignored),
    stream: false,
    includeUsage: false,
    ...(limit?.tokens === undefined ? {} : { maxTokens: limit.tokens }),
    maxTokensParam: limit?.param ?? `${PARAMETERS}.max_new_tokens`,
    messagesParam: MESSAGES,
    choices: readChoices(parameters['n'], `${PARAMETERS}.n`, sampling),
    sampling,
    ignored: ignored.list(),
  };
}

/** Finds the object that holds everything; the other published shapes belong to other tasks or servers. */
function readInputData(body: unknown, ignored: IgnoredNames): Readonly<Record<string, unknown>> {
  if (!isObject(body)) throw shape('the body', 'an object');
  const { input_data: inputData, ...outer } = body;
  if (isAbsent(inputData)) {
    const instead = ['inputs', 'messages'].find((name) => name in outer);
    throw shape(
      'input_data',
      `an object, and is missing${instead === undefined ? '' : `; ${instead} is not read here`}`,
    );
  }
  if (!isObject(inputData)) throw shape('input_data', 'an object');
  for (const [name, value] of Object.entries(outer)) if (!isAbsent(value)) ignored.add(name);
  for (const [name, value] of Object.entries(inputData))
    if (name !== 'input_string' && name !== 'parameters' && !isAbsent(value)) ignored.add(`input_data.${name}`);
  return inputData;
}

function refuseLists(input: readonly unknown[], card: string | undefined): void {
  if (!input.some((item) => Array.isArray(item))) {
    if (input.some((item) => typeof item === 'string')) throw shape(MESSAGES, 'a list of messages, not of texts');
    return;
  }
  if (input.length === 1) throw shape(MESSAGES, 'one conversation: a list of messages, not a list of lists');
  const message = `${card ?? 'this model'} takes 1 conversation per request; ${MESSAGES} holds ${String(input.length)}`;
  throw new Failure('batch_not_supported', message, {
    param: MESSAGES,
    asked: input.length,
    allowed: 1,
    ...(card === undefined ? {} : { card }),
  });
}

function readParameters(parameters: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const sampling = readSampling(parameters, PASSED, `${PARAMETERS}.`);
  const eos = parameters['eos_token_id'];
  if (!isAbsent(eos)) {
    const ids = readField(EOS, eos, `${PARAMETERS}.eos_token_id`);
    sampling['stop_token_ids'] = Array.isArray(ids) ? ids : [ids];
  }
  const sample = parameters['do_sample'];
  const greedy = !isAbsent(sample) && readField(FLAG, sample, `${PARAMETERS}.do_sample`) === false;
  if (greedy || sampling['use_beam_search'] === true) sampling['temperature'] = 0;
  return sampling;
}

const id = z.int().min(0);
const EOS = { schema: z.union([id, z.array(id)]), form: 'a token id or a list of token ids' };
const FLAG = { schema: z.boolean(), form: 'true or false' };

function shape(param: string, wanted: string): Failure {
  const text = `${param} must be ${wanted}; expected input_data.input_string as in ${SHAPE}`;
  return new Failure('invalid_request', text, param === 'the body' ? {} : { param });
}

/** The answer's text as the model gave it, untrimmed; an answer without text is empty. */
function outputOf(engineBody: Buffer): string {
  try {
    return Answer.parse(JSON.parse(engineBody.toString('utf8'))).choices[0].message.content ?? '';
  } catch (cause) {
    throw new Failure('engine_failed', 'the model gave an answer that cannot be read', { cause });
  }
}

/**
 * The endpoint's rules: what its container would have said becomes 424 with the container's status in a header; a late
 * answer is 408; too many requests is an empty text; a key that is not known is the endpoint's own word. The body serves all readers: OpenAI's, azure-core's (`x-ms-error-code`
 * equals `error.code`, `details` is a list) and those that walk FastAPI's `detail`.
 */
function renderFailure(failure: Failure, deployment: Readonly<Record<string, string>>): Rendered {
  const own = failure.code === 'deadline_exceeded' ? 408 : failure.status;
  const headers = { ...deployment, ...retryHeaders(failure), 'x-ms-error-code': failure.code };
  if (own === 429) {
    const reason = { 'content-type': 'text/plain', 'ms-azureml-model-error-reason': 'too_many_pending_request' };
    return { status: own, headers: { ...headers, ...reason }, body: '' };
  }
  if (own === 401)
    return { status: own, headers: { ...headers, 'content-type': 'text/plain' }, body: 'key_auth_access_denied' };
  const body = JSON.stringify({
    error: { ...errorObject(failure), status: own, details: [] },
    ...(failure.options.param === undefined ? {} : { detail: [detailOf(failure, failure.options.param)] }),
  });
  const json = { ...headers, 'content-type': 'application/json' };
  if (ENDPOINT_STATUSES.has(own)) return { status: own, headers: json, body };
  const wrapped = { 'ms-azureml-model-error-statuscode': String(own), 'ms-azureml-model-error-reason': 'model_error' };
  return { status: 424, headers: { ...json, ...wrapped }, body };
}

/** One entry as FastAPI writes them, without `input`: it could be a prompt. */
function detailOf(failure: Failure, param: string): Record<string, JsonValue> {
  const loc = param.split(/[.[\]]+/).filter((key) => key !== '');
  return {
    type: 'value_error',
    loc: ['body', ...loc.map((key) => (/^\d+$/.test(key) ? Number(key) : key))],
    msg: failure.message,
  };
}
