import { z } from 'zod';
import { field } from '../http/pydantic.ts';

/** A list that must be there. */
const requiredList = z.array(z.unknown());

/** Sampling fields that chat and plain completions share. */
const sampling = {
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

/** `POST /v1/chat/completions` as vLLM reads it; fields not named here are ignored. */
export const ChatBody = z.object({
  ...sampling,
  messages: requiredList,
  max_completion_tokens: field.int,
  logprobs: field.bool,
  top_logprobs: field.int,
  tools: field.anything,
  tool_choice: field.anything,
  chat_template: field.text,
  add_generation_prompt: field.bool,
  continue_final_message: field.bool,
});
export type ChatBody = z.output<typeof ChatBody>;

/** `POST /v1/completions`. */
export const CompletionBody = z.object({
  ...sampling,
  prompt: field.anything,
  suffix: field.text,
  logprobs: field.int,
});
export type CompletionBody = z.output<typeof CompletionBody>;

/** The fields that both have. */
export type SamplingBody = Omit<CompletionBody, 'prompt' | 'suffix' | 'logprobs'>;
