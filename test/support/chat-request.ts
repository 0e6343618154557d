import type { ChatRequest } from '../../gateway/request/chat.ts';

/** A normalised request with only these fields set. */
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
