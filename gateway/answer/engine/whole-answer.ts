import { z } from 'zod';
import type { EnginePath } from '#contract/job';

/**
 * What a whole answer is, on every route of an engine, streamed or not: each choice that was asked for is finished, by a
 * reason that is known here, and a stream said besides that it ends (`[DONE]`, or the closing event of a response).
 * Anything else is an attempt that was lost: vLLM answers 200, and ends a stream with `[DONE]`, where it was stopped in
 * the middle.
 */

/** `abort` and `error` are no ends (source: vLLM 0.33's finish reasons; `content_filter` and calls are OpenAI's). */
const FINISHED: ReadonlySet<string> = new Set([
  'stop',
  'length',
  'tool_calls',
  'function_call',
  'content_filter',
  'repetition',
]);
/** What engines call an answer that was cut short: the words that the log has. */
const CUT_SHORT: ReadonlySet<string> = new Set(['abort', 'error', 'in_progress', 'incomplete', 'failed', 'cancelled']);
/** Why a response may be shorter than the model would have made it. */
const SHORTENED: ReadonlySet<string> = new Set(['max_output_tokens', 'content_filter']);

const Choice = z.object({ index: z.int().nonnegative(), finish_reason: z.unknown().optional() });
const Choices = z.object({ choices: z.array(z.unknown()) });
/** What a choice of a whole answer has, by the route. */
const PIECES = {
  '/v1/chat/completions': z.object({ message: z.object({ content: z.string().nullish() }) }),
  '/v1/completions': z.object({ text: z.string() }),
} as const;
const Counted = z.object({ count: z.int().nonnegative() });
const Blamed = z.object({ error: z.unknown().optional() });
const Item = z.object({ status: z.string().nullish() });
const Responded = z.object({
  status: z.string(),
  output: z.array(Item),
  incomplete_details: z.object({ reason: z.string().nullish() }).nullish(),
});

/** Which of the choices that were asked for are finished. */
export class FinishedChoices {
  readonly #asked: number;
  readonly #finished = new Set<number>();

  /** @param asked number of choices that make the answer */
  constructor(asked: number) {
    this.#asked = asked;
  }

  /** @returns what is wrong with one of them; undefined while nothing is */
  take(choices: readonly unknown[]): string | undefined {
    for (const one of choices) {
      const choice = Choice.safeParse(one);
      if (!choice.success) return 'a choice without an index';
      const { index, finish_reason: reason } = choice.data;
      if (reason === null || reason === undefined) continue;
      if (typeof reason !== 'string' || !FINISHED.has(reason)) return `finish_reason ${known(reason)}`;
      this.#finished.add(index);
    }
    return undefined;
  }

  /** @returns what is missing; undefined when all are finished */
  get missing(): string | undefined {
    for (let index = 0; index < this.#asked; index += 1)
      if (!this.#finished.has(index)) return `choice ${index} of ${this.#asked} has no finish_reason`;
    return undefined;
  }
}

/**
 * @param body the JSON of a 200 that is not streamed
 * @param asked number of choices
 * @returns what is wrong with it; undefined when it is whole
 */
export function brokenAnswer(path: EnginePath, body: unknown, asked: number): string | undefined {
  if (saysError(body)) return 'a 200 with an error';
  if (path === '/v1/responses') return brokenResponse(body);
  if (path === '/tokenize') return Counted.safeParse(body).success ? undefined : 'a 200 that holds no count';
  const answer = Choices.safeParse(body);
  if (!answer.success) return 'a 200 that holds no answer';
  const { choices } = answer.data;
  const finished = new FinishedChoices(asked);
  const broken = finished.take(choices) ?? finished.missing;
  if (broken !== undefined) return broken;
  return choices.every((choice) => PIECES[path].safeParse(choice).success) ? undefined : 'a choice without a text';
}

/** @returns what is wrong with a response that is at its end; undefined when it is whole */
export function brokenResponse(response: unknown): string | undefined {
  const answer = Responded.safeParse(response);
  if (!answer.success) return 'a 200 that holds no answer';
  if (saysError(response)) return 'a 200 with an error';
  const { status, output, incomplete_details: details } = answer.data;
  const isWhole = status === 'completed' || (status === 'incomplete' && SHORTENED.has(details?.reason ?? ''));
  if (!isWhole) return `status ${known(status)}`;
  // The last item of a response that was shortened is as incomplete as the response.
  const cut = output.find((item) => ![undefined, null, 'completed', status].includes(item.status));
  return cut === undefined ? undefined : `an item of status ${known(cut.status)}`;
}

/** Beside whatever else it holds. */
function saysError(answer: unknown): boolean {
  const { error } = Blamed.safeParse(answer).data ?? {};
  return error !== undefined && error !== null;
}

/** An engine's word as the log may have it. */
function known(word: unknown): string {
  return typeof word === 'string' && CUT_SHORT.has(word) ? word : 'that nobody knows';
}
