import { z } from 'zod';
import { TEXT_FORMAT } from './answer-format.ts';
import { EFFORT, field } from './field-forms.ts';
import { strictJson } from './fields.ts';
import { listOf, objectOf, wellFormed } from './limited.ts';
import { LIMITS } from './limits.ts';

/** What values the fields of `/v1/responses` alone have; one that an engine would take and not act on is refused. */

export const LOGPROBS = 'message.output_text.logprobs';
/** Parts of reasoning and of calls, which no answer here has. Clients ask for them unasked; they are named as ignored. */
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
export const TEXT = field(
  strictJson(
    objectOf(z.strictObject({ verbosity: z.literal('medium').nullish(), format: objectOf(TEXT_FORMAT).nullish() })),
  ),
  'an object with a format of type text, json_object or json_schema, the last with name and schema; no other verbosity than medium',
);
/** Asked for unasked as well, of every model: there is no reasoning in an answer that it could be made of. */
const SUMMARY = z.enum(['auto', 'concise', 'detailed']).nullish();
export const REASONING = field(
  strictJson(objectOf(z.strictObject({ effort: EFFORT.nullish(), summary: SUMMARY, generate_summary: SUMMARY }))),
  'an object with an effort. Without effect, as no summaries are made: summary, generate_summary',
);
/** The closing event tells the usage, whoever asks; load generators ask as on the other routes. */
export const QUIET_STREAM = field(
  objectOf(
    z.strictObject({
      include_obfuscation: z.literal(false).exactOptional(),
      include_usage: z.boolean().exactOptional(),
    }),
  ),
  'without include_obfuscation: events are not padded; usage is always told',
);
