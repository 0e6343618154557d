import { z } from 'zod';
import type { EnginePath } from '#contract/job';
import { filterResults, joined, type Verdict } from '../request/content-filter.ts';
import type { AnswerFilter } from './answer-filter.ts';
import { answerWords } from './engine/answer-words.ts';
import { parseJson } from './engine/sse.ts';

const Answer = z.looseObject({ choices: z.array(z.looseObject({})).optional() });
type Answer = z.infer<typeof Answer>;

/** What the content filter makes of an answer that is not streamed. */
export interface Filtered {
  readonly path: EnginePath;
  /** the engine's bytes, and the same without long lists of tokens */
  readonly body: Buffer;
  readonly outline: Buffer;
  /** the answer tells what the filter found */
  readonly isTold: boolean;
}

/**
 * Judges a whole answer. The texts of a blocked choice are empty, and it ends with `content_filter`.
 * @returns the engine's bytes unchanged if nothing is blocked, and its API does not tell what was found
 * @throws Failure `safety_unavailable`
 */
export async function filteredAnswer(
  { path, body, outline, isTold }: Filtered,
  filter: AnswerFilter,
  signal: AbortSignal,
): Promise<Buffer> {
  const { judge } = filter;
  const words = judge === undefined ? [] : answerWords(path, Answer.parse(parseJson(outline)));
  const verdicts = await Promise.all(words.map(async (texts) => judge?.(texts, signal)));
  const isBlocked = verdicts.some((verdict) => verdict?.isBlocked === true);
  if (isBlocked) filter.blocked();
  if (!isBlocked && !isTold) return body;
  const answer = Answer.parse(parseJson(body));
  if (path === '/v1/responses') return isBlocked ? bytesOf(blockedResponse(answer)) : body;
  const choices = (answer.choices ?? []).map((choice, at) => choiceOf(choice, verdicts[at], isTold));
  const told = isTold && filter.prompt !== undefined ? promptResults(filter.prompt) : {};
  return bytesOf({ ...answer, choices, ...told });
}

/** A response that ends early, without a word of the model. */
export function blockedResponse(response: Readonly<Record<string, unknown>>): object {
  return { ...response, status: 'incomplete', incomplete_details: { reason: 'content_filter' }, output: [] };
}

/** In Azure OpenAI's form. */
export function promptResults(verdict: Verdict): object {
  return { prompt_filter_results: [{ prompt_index: 0, content_filter_results: filterResults(verdict) }] };
}

/** The same for a choice. */
export function choiceResults(verdicts: readonly Verdict[]): object {
  return { content_filter_results: filterResults(joined(verdicts)) };
}

function choiceOf(choice: Answer, verdict: Verdict | undefined, isTold: boolean): object {
  const told = isTold && verdict !== undefined ? choiceResults([verdict]) : {};
  if (verdict?.isBlocked !== true) return { ...choice, ...told };
  const said = 'text' in choice ? { text: '' } : { message: { role: 'assistant', content: '' } };
  return { index: choice['index'], ...said, logprobs: null, finish_reason: 'content_filter', ...told };
}

function bytesOf(answer: object): Buffer {
  return Buffer.from(JSON.stringify(answer));
}
