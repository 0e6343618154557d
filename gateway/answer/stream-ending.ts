import { z } from 'zod';
import type { EnginePath } from '#contract/job';
import type { Verdict } from '../request/content-filter.ts';
import type { AnswerFilter } from './answer-filter.ts';
import { DONE_EVENT } from './engine/events.ts';
import type { Members } from './engine/event-watch.ts';
import { eventBytes } from './engine/sse.ts';
import { blockedResponse, choiceResults, promptResults } from './filtered-answer.ts';
import type { HeldEvent } from './held-events.ts';

const Chunk = z.looseObject({
  choices: z.array(z.looseObject({ index: z.int(), finish_reason: z.unknown().optional() })),
});
const Numbered = z.looseObject({ sequence_number: z.int().optional(), response: z.looseObject({}).optional() });

/** What a stream says about its content filter, and how it ends if the filter blocks it. In the engine's form. */
export class StreamEnding {
  readonly verdicts: Verdict[] = [];
  readonly #path: EnginePath;
  readonly #choices: number;
  readonly #isTold: boolean;
  readonly #prompt: Verdict | undefined;
  readonly #isJudged: boolean;
  /** members that all events of the stream have */
  #common: Members = {};
  readonly #begun = new Set<number>();
  readonly #finished = new Set<number>();
  #number = -1;
  #response: Members = {};

  constructor(of: {
    readonly path: EnginePath;
    readonly choices: number;
    readonly isTold: boolean;
    readonly filter: Pick<AnswerFilter, 'prompt' | 'judge'>;
  }) {
    this.#path = of.path;
    this.#choices = of.choices;
    this.#isTold = of.isTold;
    this.#prompt = of.filter.prompt;
    this.#isJudged = of.filter.judge !== undefined;
  }

  /** Azure's first event, which says what the filter found in the prompt; undefined on other routes. */
  get opening(): Members | undefined {
    if (!this.#isTold || this.#prompt === undefined) return undefined;
    return { id: '', object: '', created: 0, model: '', ...this.#common, choices: [], ...promptResults(this.#prompt) };
  }

  /**
   * The client gets an event now. Tokens, which no filter has read, are taken out if the engine sends any.
   * @returns the event with what the filter found; undefined: it stays as it is
   */
  released(members: Members | undefined): Members | undefined {
    if (members === undefined) return undefined;
    this.#saw(members);
    const chunk = Chunk.safeParse(members).data;
    for (const { index, finish_reason: reason } of chunk?.choices ?? []) {
      this.#begun.add(index);
      if (typeof reason === 'string') this.#finished.add(index);
    }
    const told = this.#isTold && this.verdicts.length > 0 ? choiceResults(this.verdicts) : undefined;
    const change = (choice: Members): Members => ({ ...(this.#isJudged ? withoutTokens(choice) : choice), ...told });
    if (chunk === undefined) return this.#isJudged && hasTokens(members) ? withoutTokens(members) : undefined;
    const isChanged = told !== undefined || (this.#isJudged && chunk.choices.some(hasTokens));
    return isChanged && chunk.choices.length > 0 ? { ...chunk, choices: chunk.choices.map(change) } : undefined;
  }

  /** @param rest the events that the client will not have @returns the end of the stream */
  blocked(rest: readonly HeldEvent[]): Buffer[] {
    for (const { members } of rest.toReversed()) if (members !== undefined) this.#saw(members, false);
    if (this.#path === '/v1/responses') return [this.#incomplete(rest)];
    const told = this.#isTold ? choiceResults(this.verdicts) : {};
    const choices = Array.from({ length: this.#choices }, (_, index) => index)
      .filter((index) => !this.#finished.has(index))
      .map((index) => ({ index, ...this.#piece(index), logprobs: null, finish_reason: 'content_filter', ...told }));
    const usage = rest.filter(({ members }) => Chunk.safeParse(members).data?.choices.length === 0);
    return [
      bytesOf({ ...this.#common, choices }),
      ...usage.map(({ data, name }) => eventBytes(data, name)),
      DONE_EVENT,
    ];
  }

  /** Without a word. OpenAI's SDKs want the role in the first event of a choice. */
  #piece(index: number): object {
    if (this.#path === '/v1/completions') return { text: '' };
    return { delta: this.#begun.has(index) ? {} : { role: 'assistant', content: '' } };
  }

  #incomplete(rest: readonly HeldEvent[]): Buffer {
    const last = Numbered.safeParse(rest.findLast(({ name }) => name === 'response.completed')?.members).data?.response;
    const response = blockedResponse(last ?? this.#response);
    const event = { type: 'response.incomplete', sequence_number: this.#number + 1, response };
    return eventBytes(Buffer.from(JSON.stringify(event)), event.type);
  }

  #saw(members: Members, isSent = true): void {
    if (Object.keys(this.#common).length === 0) {
      const { choices: _, usage: _usage, ...common } = members;
      this.#common = common;
    }
    const { sequence_number: number, response } = Numbered.safeParse(members).data ?? {};
    if (number !== undefined && isSent) this.#number = number;
    if (response !== undefined && Object.keys(this.#response).length === 0) this.#response = response;
  }
}

/** Of a choice, or of an event of a response. */
function hasTokens({ logprobs, token_ids: ids }: Members): boolean {
  return [logprobs, ids].some((tokens) => (Array.isArray(tokens) ? tokens.length > 0 : isSet(tokens)));
}

function withoutTokens(members: Members): Members {
  const { token_ids: _, logprobs, ...rest } = members;
  return logprobs === undefined ? rest : { ...rest, logprobs: Array.isArray(logprobs) ? [] : null };
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function bytesOf(members: Members): Buffer {
  return eventBytes(Buffer.from(JSON.stringify(members)));
}
