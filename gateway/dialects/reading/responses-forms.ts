import { z } from 'zod';
import { TEXT_FORMAT } from './answer-format.ts';
import { EFFORT, field } from './field-forms.ts';
import { orEmpty, strictJson, withoutEmpty } from './fields.ts';
import { listOf, objectOf, wellFormed } from './limited.ts';
import { LIMITS } from './limits.ts';

/** Forms of the fields that only `/v1/responses` has. A field that an engine would take and not act on is refused. */

export const LOGPROBS = 'message.output_text.logprobs';
/** Parts about reasoning and calls, which no answer has. Clients request them by default; they are named as ignored. */
const NEVER_THERE = [
  'reasoning.encrypted_content',
  'web_search_call.action.sources',
  'web_search_call.results',
  'file_search_call.results',
  'code_interpreter_call.outputs',
  'computer_call_output.output.image_url',
] as const;

export const INCLUDE = field(
  listOf(LIMITS.include, z.enum([LOGPROBS, ...NEVER_THERE])),
  `a list of ${LOGPROBS}; nothing else can be added to an answer. Without effect: ${NEVER_THERE.join(', ')}`,
);
export const INSTRUCTIONS = field(wellFormed(z.string()), 'a text');
const TEXT_FIELD = field(
  strictJson(
    objectOf(z.strictObject({ verbosity: z.literal('medium').nullish(), format: objectOf(TEXT_FORMAT).nullish() })),
  ),
  'an object with a format of type text, json_object or json_schema, the last with name and schema; no other verbosity than medium',
);
/** Typed clients send an empty format for their default. */
export const TEXT = withoutEmpty(['format'], orEmpty(TEXT_FIELD));
/** Requested by default too, for every model; an answer here has no reasoning to summarise. */
const SUMMARY = z.enum(['auto', 'concise', 'detailed']).nullish();
export const REASONING = field(
  strictJson(objectOf(z.strictObject({ effort: EFFORT.nullish(), summary: SUMMARY, generate_summary: SUMMARY }))),
  'an object with an effort. Without effect, because no summaries are made: summary, generate_summary',
);
/** The closing event always has the usage; load generators request it as on the other routes. */
export const QUIET_STREAM = field(
  objectOf(
    z.strictObject({
      include_obfuscation: z.literal(false).exactOptional(),
      include_usage: z.boolean().exactOptional(),
    }),
  ),
  'without include_obfuscation: events are not padded; usage is always sent',
);
