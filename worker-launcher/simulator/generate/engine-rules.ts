import { z } from 'zod';
import { badRequest, type ApiError } from '../http/errors.ts';
import { schemaProblem, type Structure } from '../text/structured.ts';
import { VOCABULARY } from '../text/tokens.ts';
import type { SamplingBody } from './sampling-fields.ts';

/** The part of a request that only the engine checks. */
export interface EngineQuestion {
  readonly body: SamplingBody;
  /** requested alternatives per token */
  readonly alternatives: number | undefined;
  readonly maxLogprobs: number;
  readonly structure: Structure | undefined;
}

/**
 * Rules that vLLM checks only on the way into its engine. By then a stream has begun: a stream gets 200 and an
 * error event, a request without a stream gets the status. Source: vLLM 0.32, each rule with and without a stream.
 */
export function engineRefusal({ body, alternatives, maxLogprobs, structure }: EngineQuestion): ApiError | undefined {
  return (
    manyAlternatives(alternatives, maxLogprobs) ??
    outsideVocabulary('logit_bias', Object.keys(body.logit_bias ?? {})) ??
    outsideVocabulary('stop_token_ids', body.stop_token_ids) ??
    outsideVocabulary('logprob_token_ids', body.logprob_token_ids) ??
    allowedProblem(body.allowed_token_ids) ??
    blankWord(body.bad_words) ??
    (body.thinking_token_budget === undefined ? undefined : badRequest(NO_REASONING)) ??
    structureProblem(structure) ??
    patternProblem(body.structured_outputs)
  );
}

const Pattern = z.object({ regex: z.string().nullish() });

const NO_REASONING =
  'thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-parser and/or --reasoning-config to use thinking_token_budget.';

function manyAlternatives(asked: number | undefined, most: number): ApiError | undefined {
  if (asked === undefined || asked <= most) return undefined;
  const message = `Requested sample logprobs of ${asked}, which is greater than max allowed: ${most}`;
  return badRequest(message, 'logprobs', String(asked));
}

function outsideVocabulary(param: string, ids: readonly (number | string)[] = []): ApiError | undefined {
  const outside = ids.filter(isOutside);
  if (outside.length === 0) return undefined;
  const listed = `[${outside.join(', ')}]`;
  const message = `token_id(s) ${listed} in ${param} contain out-of-vocab token ids. Vocabulary size: ${VOCABULARY}`;
  return badRequest(message, param, listed);
}

function allowedProblem(ids: readonly number[] | undefined): ApiError | undefined {
  if (ids === undefined || (ids.length > 0 && !ids.some(isOutside))) return undefined;
  const problem = ids.length === 0 ? 'is not None and empty!' : 'contains out-of-vocab token id!';
  return badRequest(`allowed_token_ids ${problem}`, 'allowed_token_ids', `[${ids.join(', ')}]`);
}

function blankWord(words: readonly string[] = []): ApiError | undefined {
  if (words.every((word) => word.trim() !== '')) return undefined;
  const listed = `[${words.map((word) => `'${word}'`).join(', ')}]`;
  return badRequest('bad_words entries must tokenize to at least one token.', 'bad_words', listed);
}

function structureProblem(structure: Structure | undefined): ApiError | undefined {
  if (structure === undefined) return undefined;
  if (structure.kind === 'schema') return schemaProblem(structure.schema, 0);
  return structure.choices.length === 0 ? badRequest("Choice '[]' cannot be an empty list") : undefined;
}

/** JavaScript's own regex parser is close enough to find an invalid regex. */
function patternProblem(outputs: unknown): ApiError | undefined {
  const regex = Pattern.safeParse(outputs).data?.regex;
  if (typeof regex !== 'string') return undefined;
  try {
    new RegExp(regex);
    return undefined;
  } catch (error) {
    return badRequest(`Failed to transform regex into a grammar: ${error instanceof Error ? error.message : ''}`);
  }
}

function isOutside(id: number | string): boolean {
  return !(Number(id) >= 0 && Number(id) < VOCABULARY);
}
