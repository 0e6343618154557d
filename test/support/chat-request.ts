import type { ChatRequest } from '../../gateway/request/chat.ts';

/** A conversation as a dialect hands it on, with nothing set but these fields. */
export function chatRequest(fields: Partial<ChatRequest>): ChatRequest {
  return {
    messages: [],
    stream: false,
    includeUsage: false,
    maxTokensParam: 'max_tokens',
    messagesParam: 'messages',
    choices: 1,
    sampling: {},
    ignored: [],
    ...fields,
  };
}
