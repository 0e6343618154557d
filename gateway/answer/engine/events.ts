import { z } from 'zod';
import type { Usage } from '../../request/chat.ts';
import type { Failure } from '../../failure.ts';
import { oversized, unfinished } from './failure.ts';
import { reportedError } from './reported-error.ts';
import { eventBytes, EventReader, isForeign, joinPieces, parseJson, type ServerEvent } from './sse.ts';
import type { EventWatch, Join } from './event-watch.ts';
import { PlainPieces } from './plain-pieces.ts';
import { FinishedChoices } from './whole-answer.ts';

const DONE = '[DONE]';
/** The end mark of every stream except that of a response. */
export const DONE_EVENT = Buffer.from(`data: ${DONE}\n\n`);
const NOTHING = Buffer.alloc(0);

const EngineUsage = z.object({ prompt_tokens: z.number(), completion_tokens: z.number().default(0) });
const Event = z.looseObject({ choices: z.array(z.unknown()).optional(), error: z.unknown().optional() });
const Whole = z.object({ usage: EngineUsage });

export interface EngineEventsOptions {
  /** the caller requested the closing usage event */
  readonly passUsage: boolean;
  /** number of choices that were requested */
  readonly choices: number;
  /** changes an event of a further epoch to follow the first, or drops it; if it is set, each event is parsed */
  readonly join?: Join | undefined;
}

/**
 * Watches an engine's SSE bytes: finished choices, usage, error, `[DONE]`. It removes the closing usage event unless
 * the caller requested it. It removes an error event and everything after it, because vLLM ends a broken stream with
 * `[DONE]` too. vLLM's pieces of text pass unchanged.
 */
export class EngineEvents implements EventWatch {
  readonly #passUsage: boolean;
  readonly #choices: FinishedChoices;
  readonly #reader = new EventReader();
  readonly #plain = new PlainPieces();
  #join: Join | undefined;
  #done = false;
  #usage: Usage | undefined;
  #failure: Failure | undefined;
  #refusal: { readonly status: number; readonly body: Buffer } | undefined;

  constructor({ passUsage, choices, join }: EngineEventsOptions) {
    this.#passUsage = passUsage;
    this.#choices = new FinishedChoices(choices);
    this.#join = join;
  }

  get done(): boolean {
    return this.#done;
  }
  get isFinished(): boolean {
    return this.#choices.missing === undefined;
  }
  get usage(): Usage | undefined {
    return this.#usage;
  }
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /**
   * The request was refused after its stream had begun. vLLM does so if only its engine knows the rule (a token id
   * outside the vocabulary, a grammar that cannot be built). Status and body are those of a refusal before the stream.
   */
  get refusal(): { readonly status: number; readonly body: Buffer } | undefined {
    return this.#refusal;
  }

  joinBy(join: Join | undefined): void {
    this.#join = join;
  }

  take(chunk: Buffer): Buffer {
    if (this.#isOver) return NOTHING;
    if (this.#join === undefined && this.#reader.isBetween && this.#plain.matches(chunk)) return chunk;
    const passed: Buffer[] = [];
    for (const event of this.#reader.read(chunk)) {
      const bytes = this.#pass(event);
      if (bytes !== undefined) passed.push(bytes);
      if (this.#isOver) break;
    }
    if (this.#reader.isEndless) this.#failure ??= oversized('an event without an end');
    return joinPieces(passed);
  }

  /** Whatever follows the end or a fatal error is ignored. */
  get #isOver(): boolean {
    return this.#done || this.#failure !== undefined;
  }

  #pass(sent: ServerEvent): Buffer | undefined {
    const { name, data } = sent;
    if (data.length === 0 || isForeign(sent)) return undefined;
    if (data.length < 16 && data.toString('latin1').trim() === DONE) return this.#end();
    const read = Event.safeParse(parseJson(data));
    if (!read.success) {
      this.#failure = unfinished('a malformed event');
      return undefined;
    }
    const { choices, error } = read.data;
    if (name === 'error' || read.data['object'] === 'error' || (error !== undefined && error !== null)) {
      ({ failure: this.#failure, refusal: this.#refusal } = reportedError(error ?? read.data));
      return undefined;
    }
    // Such an event is no part of an answer, and clients expect none.
    if (choices === undefined) return undefined;
    const broken = this.#choices.take(choices);
    if (broken !== undefined) {
      this.#failure = unfinished(broken);
      return undefined;
    }
    const event = this.#join === undefined ? read.data : this.#join(read.data);
    if (event === undefined) return undefined;
    const closing = choices.length === 0 ? EngineUsage.safeParse(event['usage']) : undefined;
    if (closing?.success === true) {
      this.#usage = usageOf(closing.data);
      if (!this.#passUsage) return undefined;
    }
    return eventBytes(this.#join === undefined ? data : Buffer.from(JSON.stringify(event)));
  }

  #end(): Buffer | undefined {
    const { missing } = this.#choices;
    this.#done = missing === undefined;
    if (this.#done) return DONE_EVENT;
    this.#failure = unfinished(`[DONE] came, but ${missing}`);
    return undefined;
  }
}

/** Token counts of a complete, non-streamed answer, if it has any. */
export function usageOfAnswer(body: Buffer): Usage | undefined {
  const parsed = Whole.safeParse(parseJson(body));
  return parsed.success ? usageOf(parsed.data.usage) : undefined;
}

function usageOf(usage: z.infer<typeof EngineUsage>): Usage {
  return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
}
