import type { ChatMessage, ChatRequest, ContentPart } from './chat.ts';
import type { EnginePath } from '#contract/job';
import type { ServiceClass } from '#contract/service-class';
import type { PictureBytes } from '../intake/picture-bytes.ts';

/** What the gateway adds to a checked request before an engine sees it. */
export interface EngineTerms {
  /** the model name that the engine serves */
  readonly model: string;
  readonly maxTokens: number;
  /** the granted class of service, for engines that report it; absent: the caller asked for none */
  readonly serviceTier?: ServiceClass | undefined;
  /** separates the engine's prefix caches, so that no key can probe for another's prompts */
  readonly cacheSalt: string;
}

/** The engine's route for a request: a bare prompt has its own. */
export function enginePath({ route, prompts }: ChatRequest): EnginePath {
  return route ?? (prompts === undefined ? '/v1/chat/completions' : '/v1/completions');
}

/**
 * The engine's request, in pieces: only checked fields of the caller. It always sets the length of the answer, because
 * vLLM would otherwise fill the context. It always requests the closing usage event, for logs and metrics.
 * @param pictures the pictures whose markers are in the request
 * @throws Failure `invalid_request` if a picture is in a field that takes none
 */
export function engineBody(request: ChatRequest, pictures: PictureBytes, terms: EngineTerms): readonly Buffer[] {
  return pictures.join(JSON.stringify(wireBody(request, terms)));
}

function wireBody(request: ChatRequest, terms: EngineTerms): object {
  if (request.route === '/v1/responses') return responsesBody(request, terms);
  if (request.route === '/tokenize') return { ...request.sampling, model: terms.model, ...wireInput(request) };
  const { stream, choices, continuousUsage } = request;
  return {
    ...request.sampling,
    model: terms.model,
    ...wireInput(request),
    max_tokens: terms.maxTokens,
    ...(choices === 1 ? {} : { n: choices }),
    cache_salt: terms.cacheSalt,
    stream,
    ...(stream ? { stream_options: { include_usage: true, continuous_usage_stats: continuousUsage } } : {}),
  };
}

function wireInput({ messages, prompts }: ChatRequest): object {
  if (prompts === undefined) return { messages: messages.map(wireMessage) };
  return { prompt: prompts.length === 1 ? prompts[0] : prompts };
}

/** `store` is always false: no engine keeps answers, and the next request may reach another engine. */
function responsesBody({ instructions, messages, sampling, stream }: ChatRequest, terms: EngineTerms): object {
  return {
    ...sampling,
    model: terms.model,
    ...(instructions === undefined ? {} : { instructions }),
    input: messages.map(wireItem),
    max_output_tokens: terms.maxTokens,
    cache_salt: terms.cacheSalt,
    store: false,
    ...(terms.serviceTier === undefined ? {} : { service_tier: terms.serviceTier }),
    stream,
  };
}

function wireItem({ role, content }: ChatMessage): object {
  const parts = Array.isArray(content) ? content.map(wirePart) : content;
  return { type: 'message', role, content: parts };
}

function wirePart(part: ContentPart): object {
  if (part.type === 'text') return { type: 'input_text', text: part.text };
  const { url, detail } = part.image_url;
  return { type: 'input_image', image_url: url, detail };
}

function wireMessage({ role, content, extra }: ChatMessage): object {
  return { role, content, ...extra };
}
