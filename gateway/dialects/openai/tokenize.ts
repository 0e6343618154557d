import type { ChatRequest } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { Dialect } from '../dialect.ts';
import { describeTokenize } from './describe-tokenize.ts';
import { IgnoredNames, fieldsOf, got, isAbsent, isObject, isSet } from '../reading/fields.ts';
import { BODY, HALF_CHARACTER } from '../reading/limits.ts';
import { readMessages } from '../reading/messages.ts';
import { nameIgnored, openaiAnswers, readEnvelope, refuseFields } from './envelope.ts';
import { columnOf } from '../reading/request-fields.ts';
import { readFields, readTools } from '../reading/sampling.ts';

const FIELDS = columnOf('tokenize');

/** `/tokenize` in vLLM's form: the tokens of a text, or of a conversation with its pictures. */
export const openaiTokenize: Dialect = { ...openaiAnswers, parse, describe: describeTokenize };

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with a prompt or messages');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, FIELDS);
  const ignored = new IgnoredNames();
  const { prompt, messages } = body;
  const neither = isAbsent(prompt) && isAbsent(messages);
  if (neither || (isSet(prompt) && isSet(messages)))
    throw bad('prompt', `must be given, or messages instead${neither ? '' : ', not both'}`);
  const sampling = { ...readFields(body, FIELDS, ''), ...readTools({ tools: body['tools'] }) };
  nameIgnored(fields, FIELDS, ignored);
  const asked =
    isAbsent(prompt) || isSet(messages)
      ? { messages: readMessages(messages, 'messages', ignored), messagesParam: 'messages' }
      : { messages: [], prompts: [readText(prompt)] as const, messagesParam: 'prompt' };
  const envelope = readEnvelope({ model: body['model'] }, [], sampling, ignored);
  return { ...envelope, ...asked, route: '/tokenize', sampling, ignored: ignored.list() };
}

function readText(value: unknown): string {
  if (typeof value !== 'string') throw bad('prompt', `must be a text${got(value)}`);
  if (!value.isWellFormed()) throw bad('prompt', HALF_CHARACTER);
  return value;
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param} ${problem}`, { param });
}
