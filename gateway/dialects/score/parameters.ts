import type { ChatRequest, JsonValue } from '../../request/chat.ts';
import { END_TOKENS } from '../reading/field-forms.ts';
import { fieldsOf, isSet, readField } from '../reading/fields.ts';
import type { IgnoredNames } from '../reading/fields.ts';
import { nameIgnored } from '../openai/envelope.ts';
import { columnOf, type Column } from '../reading/request-fields.ts';
import { readChoices, readFields, readPositive } from '../reading/sampling.ts';

/** Names for the answer's length; the first that is present counts, as in Azure's container. */
const MAX_TOKENS = ['max_new_tokens', 'max_gen_len', 'max_tokens'] as const;

/** The tasks of `/score`, which decide which parameters have an effect. */
export type ScoreTask = 'chat-with-images' | 'chat' | 'text-generation';
const COLUMNS: Readonly<Record<ScoreTask, Column>> = {
  'chat-with-images': columnOf('score-pictures'),
  chat: columnOf('score-chat'),
  'text-generation': columnOf('score-prompts'),
};

type Parameters = Pick<ChatRequest, 'maxTokens' | 'maxTokensParam' | 'choices' | 'sampling'>;

/**
 * Reads the parameters of `/score` as Azure's container does. Parameters that it drops are dropped, and named as
 * ignored.
 * @param at their path in the caller's body, such as `input_data.parameters`
 * @throws Failure `invalid_request` naming the parameter
 */
export function readParameters(
  parameters: Readonly<Record<string, unknown>>,
  at: string,
  task: ScoreTask,
  ignored: IgnoredNames,
): Parameters {
  const column = COLUMNS[task];
  nameIgnored(fieldsOf(parameters, at), column, ignored, 'parameters.');
  const limits = MAX_TOKENS.map((name) => {
    const param = `${at}.${name}`;
    return { param, tokens: readPositive(parameters[name], param) };
  });
  const limit = limits.find(({ tokens }) => tokens !== undefined);
  const sampling = readShape(parameters, at, column);
  const choices = readChoices(parameters['n'], `${at}.n`, sampling);
  return {
    ...(limit?.tokens === undefined ? {} : { maxTokens: limit.tokens }),
    maxTokensParam: limit?.param ?? `${at}.max_new_tokens`,
    choices,
    sampling,
  };
}

function readShape(
  parameters: Readonly<Record<string, unknown>>,
  at: string,
  column: Column,
): Record<string, JsonValue> {
  const sampling = readFields(parameters, column, `${at}.`);
  const { eos_token_id: eos, do_sample: sample, return_full_text: full } = parameters;
  if (isSet(eos)) {
    const ids = readField(END_TOKENS, eos, `${at}.eos_token_id`);
    sampling['stop_token_ids'] = Array.isArray(ids) ? ids : [ids];
  }
  if (sample === false || sampling['use_beam_search'] === true) sampling['temperature'] = 0;
  // The answer begins with the prompt, unless the caller sets another value.
  if (column.has('return_full_text')) sampling['echo'] = full !== false;
  return sampling;
}
