import type { ChatRequest, JsonValue, Keeping, StreamIdentity } from '../../request/chat.ts';
import type { AnswerState } from '#contract/answer-log';
import { Failure } from '../../failure.ts';
import type { Dialect } from '../dialect.ts';
import { describeResponses } from './describe-responses.ts';
import { IgnoredNames, fieldsOf, isAbsent, isObject, isSet, shortName } from '../reading/fields.ts';
import { BODY } from '../reading/limits.ts';
import { nameIgnored, openaiAnswers, readEnvelope, refuseFields } from './envelope.ts';
import { errorObject } from './errors.ts';
import { columnOf } from '../reading/request-fields.ts';
import { LOGPROBS } from '../reading/responses-forms.ts';
import { readInput } from './responses-input.ts';
import { readFields } from '../reading/sampling.ts';
import { readServiceTier } from '../reading/service-tier.ts';

const FIELDS = columnOf('responses');
/** A response before its first output. Clients expect each of these members. */
const QUEUED = {
  object: 'response',
  status: 'queued',
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: null,
  output: [],
  previous_response_id: null,
  parallel_tool_calls: true,
  temperature: null,
  tool_choice: 'auto',
  tools: [],
  top_p: null,
  usage: null,
};

/**
 * `/v1/responses`. Each field of the caller is passed to the engine, or the request is refused with the
 * field's name. Parts of `include` and `reasoning` that clients add by default are named as ignored. A stream passes as
 * the engine wrote it, and ends with `response.completed`, without `[DONE]`.
 */
export const openaiResponses: Dialect = {
  ...openaiAnswers,
  parse,
  describe: describeResponses,
  renderStreamFailure,
  queuedEvents,
};

/** OpenAI's `error` event; its SDKs throw an exception only for an event with a member `error`. */
function renderStreamFailure(failure: Failure, eventsBefore = 0): string {
  const error = errorObject(failure);
  const { code, message, param } = error;
  const event = { type: 'error', code, message, param, sequence_number: eventsBefore, error };
  return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
}

/** As OpenAI's API begins a stream that waits. The engine's `response.in_progress` has the fields of the request. */
function queuedEvents(stream: StreamIdentity): string {
  const response = responseIn('queued', stream);
  return ['response.created', 'response.queued']
    .map((type, n) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: n, response })}\n\n`)
    .join('');
}

function responseIn(status: string, { id, created, model, shown }: StreamIdentity): object {
  return { ...QUEUED, ...shown, id, created_at: created, model, status };
}

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with an input');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, FIELDS);
  for (const [name, value] of fields) if (!FIELDS.has(name) && isSet(value)) throw unknown(shortName(name));
  const sampling = readFields(body, FIELDS, '');
  if (typeof sampling['top_logprobs'] === 'number' && sampling['top_logprobs'] > 0 && !isLogged(sampling['include']))
    throw new Failure('invalid_request', `top_logprobs needs include to name ${LOGPROBS}`, { param: 'top_logprobs' });
  const ignored = new IgnoredNames();
  const messages = readInput(body['input'], ignored);
  if (Array.isArray(sampling['include'])) {
    const wanted = sampling['include'].filter((name) => name === LOGPROBS);
    for (const name of sampling['include'])
      if (typeof name === 'string' && name !== LOGPROBS) ignored.add(`include.${name}`);
    if (wanted.length > 0) sampling['include'] = wanted;
    else delete sampling['include'];
  }
  if (isObject(sampling['reasoning'])) {
    const { summary, generate_summary, ...rest } = sampling['reasoning'];
    for (const [name, value] of Object.entries({ summary, generate_summary }))
      if (!isAbsent(value)) ignored.add(`reasoning.${name}`);
    if (Object.keys(rest).length > 0) sampling['reasoning'] = rest;
    else delete sampling['reasoning'];
  }
  nameIgnored(fields, FIELDS, ignored);
  const { model, stream, max_output_tokens, instructions } = body;
  const envelope = readEnvelope({ model, stream, max_output_tokens }, ['max_output_tokens'], sampling, ignored);
  return {
    ...envelope,
    ...readServiceTier(body['service_tier']),
    maxTokensParam: 'max_output_tokens',
    route: '/v1/responses',
    messages,
    messagesParam: 'input',
    imageParam: 'image_url',
    ...(typeof instructions === 'string' ? { instructions } : {}),
    sampling,
    keeping: readKeeping(body, sampling),
    ignored: ignored.list(),
  };
}

function readKeeping(
  { background, store, previous_response_id: previous }: Readonly<Record<string, unknown>>,
  { metadata }: ChatRequest['sampling'],
): Keeping {
  const isLabels = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata);
  return {
    background: background === true,
    store: typeof store === 'boolean' ? store : null,
    metadata: isLabels ? metadata : {},
    previous_response_id: typeof previous === 'string' ? previous : null,
  };
}

/** How kept answers look. An answer that is complete is as its engine wrote it. */
export const keptResponses = {
  queuedEvents,
  renderStreamFailure,
  renderState: (stream: StreamIdentity, state: AnswerState, failure?: Failure): string => {
    const error = failure === undefined ? null : { code: failure.code, message: failure.message };
    return JSON.stringify({ ...responseIn(state === 'running' ? 'in_progress' : state, stream), error });
  },
};

function isLogged(include: JsonValue | undefined): boolean {
  return Array.isArray(include) && include.includes(LOGPROBS);
}

function unknown(param: string): Failure {
  return new Failure('unsupported_parameter', `${param} is not accepted: this route has no such field`, { param });
}
