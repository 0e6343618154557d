import type { ChatRequest } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { Dialect } from '../dialect.ts';
import { describeChat } from './describe.ts';
import { IgnoredNames, fieldsOf, isObject } from '../reading/fields.ts';
import { BODY } from '../reading/limits.ts';
import { readMessages } from '../reading/messages.ts';
import { checkLabels, nameIgnored, openaiAnswers, readEnvelope, refuseFields } from './envelope.ts';
import { columnOf } from '../reading/request-fields.ts';
import { readFields, readTools } from '../reading/sampling.ts';
import { readServiceTier } from '../reading/service-tier.ts';

const MAX_TOKENS = ['max_completion_tokens', 'max_tokens', 'max_new_tokens'] as const;

const FIELDS = columnOf('chat');

/** `/v1/chat/completions`, with the fields that vLLM adds to OpenAI's. */
export const openai: Dialect = {
  ...openaiAnswers,
  durable: true,
  numbersEvents: true,
  parse,
  describe: describeChat,
};

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with messages');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, FIELDS);
  checkLabels(body);
  const ignored = new IgnoredNames();
  const messages = readMessages(body['messages'], 'messages', ignored);
  const sampling = { ...readFields(body, FIELDS, ''), ...readTools(body) };
  if (typeof sampling['top_logprobs'] === 'number' && sampling['top_logprobs'] > 0 && sampling['logprobs'] !== true)
    throw new Failure('invalid_request', 'top_logprobs needs logprobs to be true', { param: 'top_logprobs' });
  const envelope = readEnvelope(body, MAX_TOKENS, sampling, ignored);
  nameIgnored(fields, FIELDS, ignored);
  const tier = readServiceTier(body['service_tier']);
  return { ...envelope, ...tier, messages, messagesParam: 'messages', sampling, ignored: ignored.list() };
}
