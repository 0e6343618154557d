import { randomBytes } from 'node:crypto';
import { answerTo, type TokenSource } from '../text/answer.ts';
import type { CacheUse } from '../engine/cache.ts';
import { readMessages } from './messages.ts';
import { ChatBody } from './schema.ts';
import { checkModel, checkPromptLength } from '../generate/context.ts';
import type { Engine } from '../engine/engine.ts';
import { engineRefusal } from '../generate/engine-rules.ts';
import type { Generation } from '../generate/generate.ts';
import { badRequest } from '../http/errors.ts';
import { mix } from '../text/hash.ts';
import { preparePictures } from './pictures.ts';
import { chatPrompt, truncated, type Prompt } from '../text/prompt.ts';
import { parseBody } from '../http/pydantic.ts';
import {
  allowedTokens,
  checkAskedTokens,
  readSampling,
  readStreamUsage,
  type StreamUsage,
} from '../generate/sampling.ts';
import { Sequence } from '../engine/sequence.ts';
import { readResponseFormat, readStructuredOutputs, recite, textFor, type Structure } from '../text/structured.ts';
import { readForcedCall, type ForcedCall } from './tools.ts';

/** A chat request after all checks. */
export interface ChatRequest extends Generation {
  readonly cache: CacheUse;
  readonly usage: StreamUsage;
  /** how many alternatives to show per token; undefined without logprobs */
  readonly alternatives: number | undefined;
  readonly showsIds: boolean;
  readonly call: ForcedCall | undefined;
  /** text of the assistant prefix to repeat in the answer (`echo`) */
  readonly echo: string;
}

/** What headers may add to a body. */
export interface RequestHeaders {
  readonly requestId: string | undefined;
  /** `X-Vllm-Priority`, which overrides the body's */
  readonly priority: string | undefined;
}

/**
 * Reads one chat body, in vLLM's order: form, then values, then model, pictures, context, queue.
 * @throws ApiError with vLLM's status, type and param
 */
export async function prepareChat(
  raw: unknown,
  headers: RequestHeaders,
  engine: Engine,
  gone: AbortSignal,
): Promise<ChatRequest> {
  const { settings } = engine;
  const body = parseBody(ChatBody, raw);
  const usage = readStreamUsage(body, settings.forceUsage);
  const alternatives = readLogprobs(body);
  const structure = readResponseFormat(body.response_format) ?? readStructuredOutputs(body.structured_outputs);
  checkFlags(body);
  checkModel(body.model, settings.names);
  const call = readForcedCall(body, settings);
  if (body.chat_template !== undefined && !settings.trustRequestTemplate) {
    throw badRequest(
      'Chat template is passed with request, but --trust-request-chat-template is not set. Refused request with untrusted chat template.',
    );
  }
  if (body.mm_processor_kwargs !== undefined && !settings.trustRequestMmKwargs) {
    throw badRequest(
      'Per-request mm_processor_kwargs are disabled by default because they can change multimodal preprocessing resource usage. Start the server with --trust-request-mm-kwargs only when clients are trusted.',
      'mm_processor_kwargs',
    );
  }
  const askedParam = body.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens';
  const asked = body.max_completion_tokens ?? body.max_tokens;
  checkAskedTokens(asked, askedParam, settings.maxModelLength);
  readSampling(body, asked ?? settings.maxModelLength);

  const conversation = readMessages(body.messages, settings);
  const pictures = await preparePictures(conversation.pictures, engine, gone);
  const whole = chatPrompt(conversation.turns, pictures.pictures, {
    generationPrompt: body.add_generation_prompt ?? true,
    continueLast: body.continue_final_message ?? false,
  });
  const prompt = body.truncate_prompt_tokens === undefined ? whole : truncated(whole, body.truncate_prompt_tokens);
  checkPromptLength(prompt, settings.maxModelLength);
  const maxTokens = allowedTokens(asked, askedParam, prompt.count, settings.maxModelLength);
  const sampling = readSampling(body, maxTokens);
  engine.checkOpen();

  const forced: Structure | undefined = call === undefined ? structure : { kind: 'schema', schema: call.parameters };
  const sequences = Array.from({ length: sampling.choices }, (_, choice) => {
    const conversation = variant(prompt.seed.conversation, sampling.seed, choice);
    const source = forced === undefined ? sourceFor(prompt, conversation) : recite(textFor(forced, conversation));
    return new Sequence(source, sampling, maxTokens);
  });
  return {
    id: `chatcmpl-${headers.requestId ?? body.request_id ?? randomBytes(8).toString('hex')}`,
    isStream: body.stream ?? false,
    prompt,
    cache: engine.remember(prompt, body.cache_salt, pictures.hits),
    maxTokens,
    priority: Number(headers.priority ?? body.priority ?? 0) || 0,
    sequences,
    usage,
    alternatives,
    showsIds: body.return_token_ids ?? false,
    call,
    echo: body.echo === true ? prompt.prefix : '',
    refusal: engineRefusal({ body, alternatives, maxLogprobs: settings.maxLogprobs, structure }),
  };
}

function variant(conversation: number, seed: number | undefined, choice: number): number {
  if (seed === undefined && choice === 0) return conversation;
  return mix(conversation, mix(seed ?? 0, 11) + choice);
}

function sourceFor(prompt: Prompt, conversation: number): TokenSource {
  // vLLM's decoder holds a broken character back until its remaining bytes arrive, then gives out the prompt.
  if (prompt.prefix.endsWith('\uFFFD')) return recite(prompt.pieces.join(''));
  return answerTo({ ...prompt.seed, conversation }, prompt.prefix);
}

function readLogprobs(body: ChatBody): number | undefined {
  const top = body.top_logprobs;
  if (top !== undefined && top < -1)
    throw badRequest('`top_logprobs` must be a positive value or -1.', 'top_logprobs', String(top));
  if (top !== undefined && top !== 0 && body.logprobs !== true) {
    throw badRequest('when using `top_logprobs`, `logprobs` must be set to true.', 'top_logprobs');
  }
  return body.logprobs === true ? (top ?? 0) : undefined;
}

function checkFlags(body: ChatBody): void {
  if (body.continue_final_message === true && body.add_generation_prompt !== false) {
    throw badRequest(
      body.add_generation_prompt === true
        ? 'Cannot set both `continue_final_message` and `add_generation_prompt` to True.'
        : 'continue_final_message and add_generation_prompt are not compatible. Use continue_final_message when you want the model to continue the final message, and add_generation_prompt when you want to add a header that will prompt it to start a new assistant message instead.',
    );
  }
}
