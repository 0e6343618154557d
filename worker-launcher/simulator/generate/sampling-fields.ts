import type { z } from 'zod';
import { field } from '../http/pydantic.ts';

/** The fields that chat completions and plain completions share. */
export const SAMPLING_FIELDS = {
  model: field.text,
  max_tokens: field.int,
  min_tokens: field.int,
  temperature: field.float,
  top_p: field.float,
  top_k: field.int,
  min_p: field.float,
  n: field.int,
  seed: field.long,
  stop: field.texts,
  stop_token_ids: field.ints,
  include_stop_str_in_output: field.bool,
  ignore_eos: field.bool,
  frequency_penalty: field.float,
  presence_penalty: field.float,
  repetition_penalty: field.float,
  logit_bias: field.object,
  stream: field.bool,
  stream_options: field.anything,
  priority: field.int,
  request_id: field.text,
  cache_salt: field.text,
  truncate_prompt_tokens: field.int,
  return_token_ids: field.bool,
  mm_processor_kwargs: field.object,
  response_format: field.anything,
  structured_outputs: field.anything,
  allowed_token_ids: field.ints,
  bad_words: field.texts,
  logprob_token_ids: field.ints,
  prompt_logprobs: field.int,
  thinking_token_budget: field.int,
  echo: field.bool,
  user: field.text,
} as const;

export type SamplingBody = z.output<z.ZodObject<typeof SAMPLING_FIELDS>>;
