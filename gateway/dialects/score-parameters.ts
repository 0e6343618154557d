import { z } from 'zod';
import type { ChatRequest, JsonValue } from '#contract/chat';
import { fieldsOf, isAbsent, readField } from './fields.ts';
import type { Field, IgnoredNames } from './fields.ts';
import { listOf } from './limited.ts';
import { LIMITS } from './limits.ts';
import { BEST_OF } from './openai-completions.ts';
import { SAMPLING, TOKEN_ID, readChoices, readPositive, readSampling } from './sampling.ts';

/** Names for the answer's length; the first that is present counts, as in Azure's container. */
const MAX_TOKENS = ['max_new_tokens', 'max_gen_len', 'max_tokens'] as const;
/** Handed to the engine as they are; each is a key of `SAMPLING`. */
const PASSED = [
  'temperature',
  'top_p',
  'top_k',
  'presence_penalty',
  'frequency_penalty',
  'stop',
  'stop_token_ids',
  'ignore_eos',
  'skip_special_tokens',
  'use_beam_search',
  'length_penalty',
] as const;
const READ = [...MAX_TOKENS, ...PASSED, 'n', 'best_of', 'do_sample', 'eos_token_id'] as const;

/** What of `/score` decides which parameters have an effect. */
export type ScoreTask = 'chat-with-images' | 'chat' | 'text-generation';
/** Parameters of one task alone; those of `SAMPLING` are passed on, too. */
const OWN: Readonly<Record<ScoreTask, readonly string[]>> = {
  'chat-with-images': ['logprobs'],
  chat: ['logprobs', 'add_generation_prompt'],
  'text-generation': ['return_full_text'],
};

type Parameters = Pick<ChatRequest, 'maxTokens' | 'maxTokensParam' | 'choices' | 'sampling'>;

/**
 * The parameters of `/score` as Azure's container reads them; what it drops is dropped, and told.
 * @param at where they stand in the caller's body, such as `input_data.parameters`
 * @throws Failure `invalid_request` naming the parameter
 */
export function readParameters(
  parameters: Readonly<Record<string, unknown>>,
  at: string,
  task: ScoreTask,
  ignored: IgnoredNames,
): Parameters {
  const own = OWN[task];
  for (const [name, value] of fieldsOf(parameters, at))
    if (!READ.some((known) => known === name) && !own.includes(name) && !isAbsent(value))
      ignored.add(`parameters.${name}`);
  const limits = MAX_TOKENS.map((name) => {
    const param = `${at}.${name}`;
    return { param, tokens: readPositive(parameters[name], param) };
  });
  const limit = limits.find(({ tokens }) => tokens !== undefined);
  const sampling = readShape(parameters, at, own);
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
  own: readonly string[],
): Record<string, JsonValue> {
  const sampling = readSampling(parameters, [...PASSED, ...own], `${at}.`);
  const { eos_token_id: eos, do_sample: sample, best_of: best, return_full_text: full } = parameters;
  if (!isAbsent(eos)) {
    const ids = readField(EOS, eos, `${at}.eos_token_id`);
    sampling['stop_token_ids'] = Array.isArray(ids) ? ids : [ids];
  }
  if (!isAbsent(best)) readField(BEST_OF, best, `${at}.best_of`);
  const greedy = !isAbsent(sample) && readField(FLAG, sample, `${at}.do_sample`) === false;
  if (greedy || sampling['use_beam_search'] === true) sampling['temperature'] = 0;
  // The prompt stands before its answer, unless the caller says otherwise.
  if (own.includes('return_full_text'))
    sampling['echo'] = isAbsent(full) || readField(FLAG, full, `${at}.return_full_text`) === true;
  return sampling;
}

const EOS = {
  schema: z.union([TOKEN_ID, listOf(LIMITS.stopTokenIds, TOKEN_ID)]),
  form: 'a token id or a list of token ids',
};
const FLAG = { schema: z.boolean(), form: 'true or false' };

/** Every parameter that shapes an answer of this task, with what it must be. */
export function scoreParameters(task: ScoreTask): Readonly<Record<string, Field>> {
  const names: readonly string[] = [...PASSED, ...OWN[task]];
  return {
    ...Object.fromEntries(Object.entries(SAMPLING).filter(([name]) => names.includes(name))),
    best_of: BEST_OF,
    do_sample: FLAG,
    eos_token_id: EOS,
    ...(names.includes('return_full_text') ? { return_full_text: FLAG } : {}),
  };
}
