import { z } from 'zod';
import type { EnginePath } from '#contract/job';

/**
 * Defines a complete answer, on every engine route, streamed or not. Each requested choice is finished for a known
 * reason. A stream also has its end mark (`[DONE]`, or the closing event of a response). Anything else is a lost
 * attempt: vLLM answers 200, and ends a stream with `[DONE]`, also if it was stopped in the middle.
 */

/** Without `abort` and `error` (source: vLLM 0.33's finish reasons; `content_filter` and calls are OpenAI's). */
const FINISHED: ReadonlySet<string> = new Set([
  'stop',
  'length',
  'tool_calls',
  'function_call',
  'content_filter',
  'repetition',
]);
/** Engines' words for an answer that was cut short; only these reach the log. */
const CUT_SHORT: ReadonlySet<string> = new Set(['abort', 'error', 'in_progress', 'incomplete', 'failed', 'cancelled']);
/** Reasons for which a response may end early. */
const SHORTENED: ReadonlySet<string> = new Set(['max_output_tokens', 'content_filter']);

const Choice = z.object({ index: z.int().nonnegative(), finish_reason: z.unknown().optional() });
const Choices = z.object({ choices: z.array(z.unknown()) });
/** The content of a choice of a complete answer, by route. */
const PIECES = {
  '/v1/chat/completions': z.object({ message: z.object({ content: z.string().nullish() }) }),
  '/v1/completions': z.object({ text: z.string() }),
} as const;
const Counted = z.object({ count: z.int().nonnegative() });
const Item = z.object({ status: z.string().nullish() });
const Responded = z.object({
  status: z.string(),
  output: z.array(Item),
  incomplete_details: z.object({ reason: z.string().nullish() }).nullish(),
});

/** Tracks which of the requested choices are finished. */
export class FinishedChoices {
  readonly #asked: number;
  readonly #finished = new Set<number>();

  /** @param asked number of requested choices */
  constructor(asked: number) {
    this.#asked = asked;
  }

  /** @returns what is wrong with one of them; undefined if nothing is */
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

  /** @returns what is missing; undefined if all are finished */
  get missing(): string | undefined {
    for (let index = 0; index < this.#asked; index += 1)
      if (!this.#finished.has(index)) return `choice ${index} of ${this.#asked} has no finish_reason`;
    return undefined;
  }
}

/**
 * @param body the JSON of a 200 that is not streamed
 * @param asked number of requested choices
 * @returns what is wrong with it; undefined if it is complete
 */
export function brokenAnswer(path: EnginePath, body: unknown, asked: number): string | undefined {
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

/** @returns what is wrong with a response at its end; undefined if it is complete */
export function brokenResponse(response: unknown): string | undefined {
  const answer = Responded.safeParse(response);
  if (!answer.success) return 'a 200 that holds no answer';
  const { status, output, incomplete_details: details } = answer.data;
  const isWhole = status === 'completed' || (status === 'incomplete' && SHORTENED.has(details?.reason ?? ''));
  if (!isWhole) return `status ${known(status)}`;
  // The last item of a shortened response is as incomplete as the response.
  const cut = output.find((item) => ![undefined, null, 'completed', status].includes(item.status));
  return cut === undefined ? undefined : `an item of status ${known(cut.status)}`;
}

/** An engine's word for the log, if the word is known. */
function known(word: unknown): string {
  return typeof word === 'string' && CUT_SHORT.has(word) ? word : 'that is unknown';
}
