import type { ChatMessage, ChatRequest } from '#contract/chat';
import type { EnginePath } from '#contract/job';

/** What the gateway adds to a checked request before an engine sees it. */
export interface EngineTerms {
  /** the name that the engine serves the model under */
  readonly model: string;
  readonly maxTokens: number;
  /** separates the engine's prefix caches, so that no key can probe for another's prompts */
  readonly cacheSalt: string;
}

/** The engine's route for a request: a bare prompt has one of its own. */
export function enginePath({ prompts }: ChatRequest): EnginePath {
  return prompts === undefined ? '/v1/chat/completions' : '/v1/completions';
}

/**
 * The engine's request: fields that were checked, nothing else the caller wrote. The answer's length is always said, as
 * vLLM would otherwise fill the context; the closing usage event is always asked for, as the books need it.
 */
export function engineBody(request: ChatRequest, terms: EngineTerms): Buffer {
  const { stream, choices, prompts } = request;
  const body = {
    ...request.sampling,
    model: terms.model,
    ...(prompts === undefined
      ? { messages: request.messages.map(wireMessage) }
      : { prompt: prompts.length === 1 ? prompts[0] : prompts }),
    max_tokens: terms.maxTokens,
    ...(choices === 1 ? {} : { n: choices }),
    cache_salt: terms.cacheSalt,
    stream,
    ...(stream ? { stream_options: { include_usage: true } } : {}),
  };
  return Buffer.from(JSON.stringify(body));
}

function wireMessage({ role, content, extra }: ChatMessage): object {
  return { role, content, ...extra };
}
