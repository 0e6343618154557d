import { z } from 'zod';
import type { Sampling } from '../engine/sampling.ts';
import { badRequest, pythonFloat } from '../http/errors.ts';
import type { SamplingBody } from './sampling-fields.ts';

const MAX_CHOICES = 16_384;

const StreamOptions = z
  .object({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
  .catch({});

export interface StreamUsage {
  readonly closing: boolean;
  readonly everyChunk: boolean;
}

/**
 * Checks the ranges that vLLM checks. Source: recorded answers; only some name the parameter.
 * @param maxTokens the limit that `min_tokens` must not exceed
 * @throws ApiError 400
 */
export function readSampling(body: SamplingBody, maxTokens: number): Sampling {
  const temperature = body.temperature ?? 1;
  within('temperature', body.temperature, temperature >= 0, 'must be non-negative', true);
  within('temperature', body.temperature, temperature <= 2, 'must be in [0, 2]', true);
  const topP = body.top_p ?? 1;
  within('top_p', body.top_p, topP > 0 && topP <= 1, 'must be in (0, 1]', true);
  within('min_p', body.min_p, inside(body.min_p, 0, 1), 'must be in [0, 1]', false);
  within('presence_penalty', body.presence_penalty, inside(body.presence_penalty, -2, 2), 'must be in [-2, 2]', false);
  within(
    'frequency_penalty',
    body.frequency_penalty,
    inside(body.frequency_penalty, -2, 2),
    'must be in [-2, 2]',
    false,
  );
  const repetition = body.repetition_penalty ?? 1;
  within('repetition_penalty', body.repetition_penalty, repetition > 0, 'must be greater than zero', false);
  if (body.top_k !== undefined && body.top_k < -1) {
    throw badRequest(`top_k must be 0 (disable), or at least 1, got ${body.top_k}.`);
  }
  const minTokens = body.min_tokens ?? 0;
  if (minTokens < 0) throw badRequest(`min_tokens must be greater than or equal to 0, got ${minTokens}.`);
  if (minTokens > maxTokens) {
    throw badRequest(`min_tokens must be less than or equal to max_tokens=${maxTokens}, got ${minTokens}.`);
  }
  const stops = body.stop ?? [];
  if (stops.includes('')) throw badRequest('stop cannot contain an empty string.');
  return {
    choices: choicesOf(body.n ?? 1, temperature),
    minTokens,
    ignoreEos: body.ignore_eos ?? false,
    stops,
    stopIds: body.stop_token_ids ?? [],
    keepStop: body.include_stop_str_in_output ?? false,
    seed: temperature === 0 ? undefined : body.seed,
  };
}

/** @throws ApiError 400 for stream options without a stream, and for prompt logprobs with one */
export function readStreamUsage(body: SamplingBody, isForced: boolean): StreamUsage {
  if ((body.prompt_logprobs ?? 0) !== 0 && body.stream === true)
    throw badRequest('`prompt_logprobs` are not available when `stream=True`.', 'prompt_logprobs');
  if (body.stream_options !== undefined && body.stream_options !== null && body.stream !== true) {
    throw badRequest('Stream options can only be defined when `stream=True`.', 'stream_options');
  }
  const options = StreamOptions.parse(body.stream_options ?? {});
  const closing = isForced || options.include_usage === true;
  return { closing, everyChunk: isForced || (closing && options.continuous_usage_stats === true) };
}

/**
 * Tokens that may be generated. As in vLLM, a larger request than the rest of the context is reduced without an error.
 * A larger one than the context itself is refused.
 * @throws ApiError 400
 */
export function allowedTokens(asked: number | undefined, param: string, promptTokens: number, context: number): number {
  if (asked === undefined) return context - promptTokens;
  checkAskedTokens(asked, param, context);
  return Math.min(asked, context - promptTokens);
}

/** @throws ApiError 400 for fewer than one token or more than the context */
export function checkAskedTokens(asked: number | undefined, param: string, context: number): void {
  if (asked === undefined) return;
  if (asked < 1) throw badRequest(`${param} must be at least 1, got ${asked}.`, param, String(asked));
  if (asked > context) {
    throw badRequest(
      `${param}=${asked} cannot be greater than max_model_len=${context}. Please request fewer output tokens.`,
      param,
      String(asked),
    );
  }
}

function choicesOf(n: number, temperature: number): number {
  if (n < 1) throw badRequest(`n must be at least 1, got ${n}.`);
  if (n > MAX_CHOICES) {
    throw badRequest(
      `n must be at most ${MAX_CHOICES}, got ${n}. To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable.`,
    );
  }
  if (n > 1 && temperature === 0) throw badRequest(`n must be 1 when using greedy sampling, got ${n}.`);
  return n;
}

function inside(value: number | undefined, low: number, high: number): boolean {
  return value === undefined || (value >= low && value <= high);
}

function within(name: string, value: number | undefined, isFine: boolean, rule: string, isNamed: boolean): void {
  if (value === undefined || isFine) return;
  const sentence = `${name} ${rule}, got ${pythonFloat(value)}.`;
  throw isNamed ? badRequest(sentence, name, pythonFloat(value)) : badRequest(sentence);
}
