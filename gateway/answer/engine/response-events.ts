import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { Usage } from '../../request/chat.ts';
import type { Failure } from '../../failure.ts';
import { oversized, unfinished } from './failure.ts';
import { errorIn, reportedError } from './reported-error.ts';
import { parseAnswer } from './answer-outline.ts';
import { eventBytes, EventReader, isForeign, joinPieces, parseJson, parseText, type ServerEvent } from './sse.ts';
import type { EventWatch, Join } from './event-watch.ts';
import { brokenResponse } from './whole-answer.ts';

const DONE = '[DONE]';
const NOTHING = Buffer.alloc(0);
/** vLLM sends these before its engine has read the request (source: vLLM 0.32, recorded). */
const OPENING: ReadonlySet<string> = new Set(['response.created', 'response.in_progress']);
const CLOSING: ReadonlySet<string> = new Set(['response.completed', 'response.incomplete']);

const ResponseUsage = z.object({ input_tokens: z.number(), output_tokens: z.number() });
const Answer = z.object({ usage: ResponseUsage.nullish() });
const Whole = z.looseObject({});
const Closing = z.object({ response: z.looseObject({}) });
const Event = z.looseObject({
  type: z.string().optional().catch(undefined),
  error: z.unknown().optional(),
});

/**
 * Events of `/v1/responses`. The stream ends with `response.completed`, without `[DONE]`, and vLLM breaks it off when
 * it should refuse or fail. The opening events are held back until another one arrives: while the client has nothing,
 * an answer whose engine was lost can run again.
 */
export class ResponseEvents implements EventWatch {
  readonly #reader = new EventReader();
  #held: Buffer[] = [];
  #join: Join | undefined;
  #done = false;
  #usage: Usage | undefined;
  #failure: Failure | undefined;
  #refusal: { readonly status: number; readonly body: Buffer } | undefined;
  #passed = 0;

  /** @param join see `joinBy` */
  constructor(join?: Join) {
    this.#join = join;
  }

  get done(): boolean {
    return this.#done;
  }
  /** The closing event is both the last of the answer and the end mark. */
  get isFinished(): boolean {
    return this.#done;
  }
  get usage(): Usage | undefined {
    return this.#usage;
  }
  get failure(): Failure | undefined {
    return this.#failure;
  }
  /** see `EngineEvents` */
  get refusal(): { readonly status: number; readonly body: Buffer } | undefined {
    return this.#refusal;
  }
  get passed(): number {
    return this.#passed;
  }

  joinBy(join: Join | undefined): void {
    this.#join = join;
  }

  take(chunk: Buffer): Buffer {
    if (this.#isOver) return NOTHING;
    if (this.#join === undefined && this.#reader.isBetween && isPlain(chunk)) return joinPieces(this.#release(chunk));
    const passed: Buffer[] = [];
    for (const event of this.#reader.read(chunk)) {
      passed.push(...this.#pass(event));
      if (this.#isOver) break;
    }
    if (this.#reader.isEndless) this.#failure ??= oversized('an event without an end');
    return joinPieces(passed);
  }

  get #isOver(): boolean {
    return this.#done || this.#failure !== undefined;
  }

  #pass(sent: ServerEvent): readonly Buffer[] {
    const { name: said, data } = sent;
    if (data.length === 0 || (said === '' && data.toString('latin1', 0, DONE.length) === DONE)) return [];
    if (isForeign(sent)) return [];
    const event = Event.safeParse(parseAnswer(data)).data;
    const name = event === undefined ? undefined : nameOf(said, event);
    if (event === undefined || name === undefined) {
      this.#failure = unfinished('a malformed event');
      return [];
    }
    if (name === 'error') this.#fail(errorIn(event) ?? event);
    else if (!name.startsWith('response.')) return [];
    if (name === 'response.failed' || CLOSING.has(name)) this.#close(event);
    if (this.#failure !== undefined) return [];
    const joined = this.#joined(data, name);
    if (joined === undefined) return [];
    const bytes = eventBytes(joined, name);
    if (OPENING.has(name) && this.#passed === 0) {
      this.#held.push(bytes);
      return [];
    }
    return this.#release(bytes);
  }

  /** @returns undefined if the event is dropped */
  #joined(data: Buffer, name: string): Buffer | undefined {
    if (this.#join === undefined) return data;
    // Completely: `parseAnswer` leaves long lists out.
    const event = this.#join({ type: name, ...Whole.parse(parseJson(data)) });
    return event === undefined ? undefined : Buffer.from(JSON.stringify(event));
  }

  /** Passes on an event that shows the engine at work, after those that were held back. */
  #release(event: Buffer): readonly Buffer[] {
    const pieces = this.#held.length === 0 ? [event] : [...this.#held, event];
    this.#held = [];
    this.#passed += pieces.length;
    return pieces;
  }

  #close(event: unknown): void {
    const closing = Closing.safeParse(event);
    const error = errorIn(closing.data?.response) ?? errorIn(event);
    if (error !== undefined) return this.#fail(error);
    const broken = closing.success ? brokenResponse(closing.data.response) : 'a malformed event';
    if (broken === undefined) this.#done = true;
    else this.#failure = unfinished(broken);
    this.#usage = usageOfResponse(closing.data?.response);
  }

  #fail(error: unknown): void {
    ({ failure: this.#failure, refusal: this.#refusal } = reportedError(error));
  }
}

/** The event's name. Data win over an unknown `event:` line, as in the SDKs. @returns undefined if neither has one */
function nameOf(said: string, { type, error }: z.infer<typeof Event>): string | undefined {
  if (said === 'error' || (error !== undefined && error !== null)) return 'error';
  if (type !== undefined && (type === 'error' || type.startsWith('response.'))) return type;
  return said === '' || said === 'message' ? type : said;
}

const PIECE = 'event: response.output_text.delta\n';
const PIECE_DATA = `${PIECE}data: `;
const Piece = z.object({ type: z.literal('response.output_text.delta'), error: z.null().optional() });

/** Whether it is one piece of text in vLLM's own form, as most events are. */
function isPlain(chunk: Buffer): boolean {
  const text = chunk.toString('latin1');
  return (
    text.startsWith(`${PIECE_DATA}{`) &&
    text.endsWith('}\n\n') &&
    text.indexOf('\n', PIECE.length) === text.length - 2 &&
    !text.includes('\r') &&
    Piece.safeParse(parseText(text.slice(PIECE_DATA.length))).success &&
    isUtf8(chunk)
  );
}

export function usageOfResponse(body: unknown): Usage | undefined {
  const usage = Answer.safeParse(body).data?.usage;
  return usage === null || usage === undefined
    ? undefined
    : { promptTokens: usage.input_tokens, completionTokens: usage.output_tokens };
}
