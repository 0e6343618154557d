import { z } from 'zod';
import { SAMPLING_FIELDS } from '../generate/sampling-fields.ts';
import { field } from '../http/pydantic.ts';

/** A list that the body must have. */
const requiredList = z.array(z.unknown());

/** `POST /v1/chat/completions` as vLLM reads it; the simulator ignores all other fields. */
export const ChatBody = z.object({
  ...SAMPLING_FIELDS,
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
