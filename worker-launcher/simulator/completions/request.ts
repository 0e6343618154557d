import { randomBytes } from 'node:crypto';
import type { CacheUse } from '../engine/cache.ts';
import type { Engine } from '../engine/engine.ts';
import { Sequence } from '../engine/sequence.ts';
import { checkModel, checkPromptLength } from '../generate/context.ts';
import { engineRefusal } from '../generate/engine-rules.ts';
import type { Generation } from '../generate/generate.ts';
import {
  allowedTokens,
  checkAskedTokens,
  readSampling,
  readStreamUsage,
  type StreamUsage,
} from '../generate/sampling.ts';
import { complaints, parseBody } from '../http/pydantic.ts';
import { answerTo } from '../text/answer.ts';
import { mix } from '../text/hash.ts';
import { plainPrompt, truncated, type Prompt } from '../text/prompt.ts';
import { readResponseFormat, readStructuredOutputs } from '../text/structured.ts';
import { tokenText } from '../text/tokens.ts';
import { CompletionBody } from './schema.ts';

/** A completion request after all checks. Each prompt of a list has choices of its own. */
export interface CompletionRequest extends Generation {
  readonly prompts: readonly Prompt[];
  readonly cache: CacheUse;
  /** choices per prompt */
  readonly choices: number;
  readonly usage: StreamUsage;
  readonly echo: boolean;
  readonly alternatives: number | undefined;
  readonly showsIds: boolean;
}

/** vLLM's default of `max_tokens` on this route */
const DEFAULT_TOKENS = 16;

/**
 * Reads one body of `/v1/completions`, in vLLM's order.
 * @throws ApiError with vLLM's status, type and param
 */
export function prepareCompletion(raw: unknown, requestId: string | undefined, engine: Engine): CompletionRequest {
  const { settings } = engine;
  const body = parseBody(CompletionBody, raw);
  const usage = readStreamUsage(body, settings.forceUsage);
  checkModel(body.model, settings.names);
  const asked = body.max_tokens ?? DEFAULT_TOKENS;
  checkAskedTokens(asked, 'max_tokens', settings.maxModelLength);
  const limit = body.truncate_prompt_tokens;
  const prompts = readPrompts(body.prompt).map((text) => {
    const whole = plainPrompt(text);
    return limit === undefined ? whole : truncated(whole, limit);
  });
  let sampling = readSampling(body, asked);
  const sequences = prompts.flatMap((prompt) => {
    checkPromptLength(prompt, settings.maxModelLength);
    const maxTokens = allowedTokens(asked, 'max_tokens', prompt.count, settings.maxModelLength);
    sampling = readSampling(body, maxTokens);
    return Array.from({ length: sampling.choices }, (_, choice) => {
      const conversation = mix(prompt.seed.conversation, (sampling.seed ?? 0) + choice);
      return new Sequence(answerTo({ ...prompt.seed, conversation }, ''), sampling, maxTokens);
    });
  });
  const [first] = prompts;
  if (first === undefined) throw new Error('a completion without a prompt');
  engine.checkOpen();
  const caches = prompts.map((prompt) => engine.remember(prompt, body.cache_salt, 0));
  const structure = readResponseFormat(body.response_format) ?? readStructuredOutputs(body.structured_outputs);
  const { maxLogprobs } = settings;
  return {
    id: `cmpl-${requestId ?? body.request_id ?? randomBytes(8).toString('hex')}`,
    isStream: body.stream ?? false,
    prompt: first,
    prompts,
    maxTokens: asked,
    priority: body.priority ?? 0,
    cache: { cached: sum(caches.map(({ cached }) => cached)), created: sum(caches.map(({ created }) => created)) },
    sequences,
    choices: sampling.choices,
    usage,
    echo: body.echo ?? false,
    alternatives: body.logprobs,
    showsIds: body.return_token_ids ?? false,
    refusal: engineRefusal({ body, alternatives: body.logprobs, maxLogprobs, structure }),
  };
}

/** A text, a list of texts, a list of ids, or a list of such lists. @throws ApiError 400 for anything else */
function readPrompts(prompt: unknown): string[] {
  if (typeof prompt === 'string') return [prompt];
  if (isIds(prompt)) return [prompt.map(tokenText).join('')];
  if (Array.isArray(prompt) && prompt.length > 0) {
    if (prompt.every((item) => typeof item === 'string')) return prompt;
    if (prompt.every(isIds)) return prompt.map((ids) => ids.map(tokenText).join(''));
  }
  throw complaints([
    { type: 'string_type', path: ['prompt'], message: 'Input should be a valid string', input: prompt },
  ]);
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => Number.isInteger(item));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
