import type { CacheUse } from '../engine/cache.ts';
import type { Prompt } from '../text/prompt.ts';
import type { Task } from '../engine/task.ts';

export interface UsageContext {
  readonly prompt: Prompt;
  readonly cache: CacheUse;
  /** `--enable-prompt-tokens-details` */
  readonly hasDetails: boolean;
}

/** `usage` of a body: with its nulls. */
export function wholeUsage({ prompt, cache, hasDetails }: UsageContext, completionTokens: number, isChat: boolean) {
  return {
    ...counts(prompt.count, completionTokens),
    prompt_tokens_details: hasDetails
      ? {
          cached_tokens: cache.cached,
          created_cache_tokens: isChat ? cache.created : null,
          multimodal_tokens: prompt.imageTokens > 0 ? { image: prompt.imageTokens } : null,
        }
      : null,
    completion_tokens_details: null,
  };
}

/** `usage` of the closing event of a stream: without nulls. */
export function closingUsage({ prompt, cache, hasDetails }: UsageContext, completionTokens: number) {
  if (!hasDetails) return counts(prompt.count, completionTokens);
  const images = prompt.imageTokens > 0 ? { multimodal_tokens: { image: prompt.imageTokens } } : {};
  return {
    ...counts(prompt.count, completionTokens),
    prompt_tokens_details: { cached_tokens: cache.cached, created_cache_tokens: cache.created, ...images },
  };
}

/** The member `"usage":{…},` of each event, for `continuous_usage_stats`. */
export function runningUsage(promptTokens: number, completionTokens: number): string {
  return `"usage":${JSON.stringify({ ...counts(promptTokens, completionTokens), completion_tokens_details: null })}`;
}

function counts(promptTokens: number, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
  };
}

/** `metrics` of `--enable-per-request-metrics`, in milliseconds. */
export function requestMetrics(task: Task) {
  const { produced } = task.sequence;
  const generating = task.lastTokenAt - task.firstTokenAt;
  const whole = task.lastTokenAt - task.arrivedAt;
  return {
    time_to_first_token_ms: task.firstTokenAt - task.arrivedAt,
    generation_time_ms: generating,
    queue_time_ms: task.startedAt - task.arrivedAt,
    mean_itl_ms: produced > 1 ? generating / (produced - 1) : null,
    tokens_per_second: whole > 0 ? (produced / whole) * 1000 : null,
  };
}
