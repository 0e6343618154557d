import type { ChatRequest } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { Dialect, Said } from '../dialect.ts';
import { checkLabels, nameIgnored, readEnvelope, refuseFields } from '../openai/envelope.ts';
import { retryHeaders } from '../openai/errors.ts';
import { IgnoredNames, fieldsOf, got, isAbsent, isObject } from '../reading/fields.ts';
import { BODY } from '../reading/limits.ts';
import type { Column } from '../reading/request-fields.ts';
import { readFields } from '../reading/sampling.ts';
import { countOf, messageOf } from './answer.ts';
import { readConversation } from './conversation.ts';
import { describeCount, describeMessages } from './describe.ts';
import { errorBody } from './errors.ts';
import { MessageEvents, failureEvent } from './events.ts';
import { COUNT_FIELDS, MESSAGE_FIELDS, VERSIONS } from './fields.ts';
import { readClientTools } from './tools.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const VERSION_HEADER = 'anthropic-version';

const answers: Omit<Dialect, 'parse' | 'describe' | 'renderAnswer'> = {
  name: 'anthropic',
  errorSchema: 'AnthropicError',
  keyHeaders: ['x-api-key'],
  requestIdHeader: 'request-id',
  renderEvents: () => {
    const events = new MessageEvents();
    return (piece) => events.translate(piece.toString());
  },
  renderFailure: (failure, requestId) => ({
    status: failure.status,
    headers: { ...JSON_TYPE, ...retryHeaders(failure) },
    body: JSON.stringify(errorBody(failure, requestId)),
  }),
  renderStreamFailure: failureEvent,
};

/** Anthropic's `/v1/messages`, which answers a conversation with its next message. */
export const anthropicMessages: Dialect = {
  ...answers,
  durable: true,
  parse: (body, said) => {
    const { request, body: fields, ignored, sampling } = read(body, said, MESSAGE_FIELDS);
    const { model, stream, max_tokens: most } = fields;
    if (isAbsent(most))
      throw new Failure('invalid_request', 'max_tokens must be given: a whole number, 1 or more', {
        param: 'max_tokens',
      });
    checkLabels(fields);
    const envelope = readEnvelope({ model, stream, max_tokens: most }, ['max_tokens'], sampling, ignored);
    const stops = fields['stop_sequences'];
    const stop = Array.isArray(stops) && stops.length > 0 ? { stop: stops.map(String) } : {};
    // A stream gives the length of the prompt at its start.
    const counted = envelope.stream ? { continuousUsage: true as const } : {};
    return { ...request, ...envelope, ...counted, sampling: { ...sampling, ...stop }, ignored: ignored.list() };
  },
  renderAnswer: (engineBody) => ({ status: 200, headers: JSON_TYPE, body: JSON.stringify(messageOf(engineBody)) }),
  describe: describeMessages,
};

/** `/v1/messages/count_tokens`: the length of such a conversation as a prompt, from an engine's `/tokenize`. */
export const anthropicCount: Dialect = {
  ...answers,
  parse: (body, said) => {
    const { request, body: fields, ignored, sampling } = read(body, said, COUNT_FIELDS);
    const { tool_choice: _, parallel_tool_calls: _parallel, ...rest } = sampling;
    const envelope = readEnvelope({ model: fields['model'] }, [], sampling, ignored);
    return { ...request, ...envelope, route: '/tokenize', sampling: rest, ignored: ignored.list() };
  },
  renderAnswer: (engineBody) => ({ status: 200, headers: JSON_TYPE, body: JSON.stringify(countOf(engineBody)) }),
  describe: describeCount,
};

interface Read {
  readonly request: Pick<ChatRequest, 'messages' | 'messagesParam' | 'imageParam'>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly ignored: IgnoredNames;
  readonly sampling: ChatRequest['sampling'];
}

function read(body: unknown, said: Said | undefined, column: Column): Read {
  checkVersion(said?.headers[VERSION_HEADER]);
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with messages');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, column);
  const ignored = new IgnoredNames();
  const messages = readConversation(body['system'], body['messages'], ignored);
  const tools = readClientTools(body['tools'], body['tool_choice']);
  const sampling = { ...readFields(body, column, ''), ...tools, ...goesOn(messages) };
  nameIgnored(fields, column, ignored);
  return { request: { messages, messagesParam: 'messages', imageParam: 'source' }, body, ignored, sampling };
}

/** If the last message is the assistant's, it is the beginning of the answer. */
function goesOn(messages: ChatRequest['messages']): ChatRequest['sampling'] {
  if (messages.at(-1)?.role !== 'assistant') return {};
  return { add_generation_prompt: false, continue_final_message: true };
}

function checkVersion(version: string | string[] | undefined): void {
  if (version === undefined || VERSIONS.includes(version)) return;
  const message = `${VERSION_HEADER} must be one of ${VERSIONS.join(', ')}${got(version)}`;
  throw new Failure('invalid_request', message, { param: VERSION_HEADER });
}
