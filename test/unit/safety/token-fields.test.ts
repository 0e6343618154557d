import { expect, test } from '@jest/globals';
import type { ChatRequest } from '../../../gateway/request/chat.ts';
import { refuseTokenFields } from '../../../gateway/safety/token-fields.ts';

const request = (sampling: ChatRequest['sampling'], maxTokensParam = 'max_tokens'): ChatRequest => ({
  messages: [],
  stream: true,
  includeUsage: false,
  maxTokensParam,
  messagesParam: 'messages',
  choices: 1,
  sampling,
  ignored: [],
});

test.each([
  [{ logprobs: true }, 'logprobs'],
  [{ logprobs: 0 }, 'logprobs'],
  [{ prompt_logprobs: 1 }, 'prompt_logprobs'],
  [{ return_token_ids: true }, 'return_token_ids'],
  [{ return_tokens_as_token_ids: true }, 'return_tokens_as_token_ids'],
  [{ logprob_token_ids: [5] }, 'logprob_token_ids'],
  [{ include: ['message.output_text.logprobs'] }, 'include'],
])('what brings tokens into an answer is refused by name: %j', (sampling, param) => {
  expect(() => refuseTokenFields(request(sampling))).toThrow(
    expect.objectContaining({ code: 'unsupported_parameter', options: { param } }),
  );
});

test('the name is the path in the body of the caller', () => {
  expect(() => refuseTokenFields(request({ logprobs: true }, 'input_data.parameters.max_new_tokens'))).toThrow(
    expect.objectContaining({ options: { param: 'input_data.parameters.logprobs' } }),
  );
});

test.each([{}, { logprobs: false }, { top_logprobs: 0 }, { return_token_ids: false, temperature: 0 }])(
  'what brings none passes: %j',
  (sampling) => expect(() => refuseTokenFields(request(sampling))).not.toThrow(),
);
