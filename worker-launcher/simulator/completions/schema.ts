import { z } from 'zod';
import { SAMPLING_FIELDS } from '../generate/sampling-fields.ts';
import { field } from '../http/pydantic.ts';

/** `POST /v1/completions` as vLLM reads it; the simulator ignores all other fields. */
export const CompletionBody = z.object({
  ...SAMPLING_FIELDS,
  prompt: field.anything,
  suffix: field.text,
  logprobs: field.int,
});
