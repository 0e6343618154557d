import { z } from 'zod';
import type { Usage } from '#contract/chat';
import { MALFORMED } from './engine-events.ts';
import { EventCutter, joinPieces, type EventWatch } from './event-watch.ts';

const EVENT = 'event: ';
const DATA = '\ndata: {';
const EVENT_DATA_END = '}\n\n';
const COMMENT = ':';
/** Sent before the engine has looked at the request (source: vLLM 0.32, recorded). */
const OPENING: ReadonlySet<string> = new Set(['response.created', 'response.in_progress']);
const CLOSING: ReadonlySet<string> = new Set(['response.completed', 'response.incomplete']);
const FAILED: ReadonlySet<string> = new Set(['response.failed', 'error']);

const ResponseUsage = z.object({ input_tokens: z.number(), output_tokens: z.number() });
const Answer = z.object({ status: z.string(), usage: ResponseUsage.nullish() });
const Closing = z.object({ response: Answer });

/**
 * The stream of `/v1/responses`: it ends with `response.completed`, without `[DONE]`, and vLLM breaks it off where it
 * should refuse or fail. The opening events are held back until another one comes: as long as a client has nothing, an
 * answer whose engine was lost can run again.
 */
export class ResponseEvents implements EventWatch {
  readonly #cutter = new EventCutter();
  #held: Buffer[] = [];
  #done = false;
  #usage: Usage | undefined;
  #error: string | undefined;
  #passed = 0;
  readonly refusal = undefined;

  get done(): boolean {
    return this.#done && this.#error === undefined;
  }
  get usage(): Usage | undefined {
    return this.#usage;
  }
  get error(): string | undefined {
    return this.#error;
  }
  get passed(): number {
    return this.#passed;
  }

  take(chunk: Buffer): Buffer {
    const passed: Buffer[] = [];
    for (const event of this.#cutter.cut(chunk)) if (this.#error === undefined) passed.push(...this.#pass(event));
    if (this.#cutter.isEndless) this.#error = 'an event without an end';
    return joinPieces(passed);
  }

  #pass(event: Buffer): readonly Buffer[] {
    if (event.toString('latin1', 0, 1) === COMMENT) return [event];
    const nameEnd = event.indexOf('\n');
    const name = event.toString('latin1', EVENT.length, nameEnd);
    const isWhole =
      event.toString('latin1', 0, EVENT.length) === EVENT &&
      event.toString('latin1', nameEnd, nameEnd + DATA.length) === DATA &&
      event.includes(EVENT_DATA_END, -EVENT_DATA_END.length);
    if (!isWhole || FAILED.has(name)) {
      this.#error = isWhole ? `event ${name}` : MALFORMED;
      return [];
    }
    if (CLOSING.has(name)) this.#close(parseJson(event.toString('utf8', nameEnd + DATA.length - 1)));
    if (this.#error !== undefined) return [];
    // A copy, as the piece is a view of a large reply.
    if (OPENING.has(name) && this.#passed === 0) {
      this.#held.push(Buffer.from(event));
      return [];
    }
    const pieces = [...this.#held, event];
    this.#held = [];
    this.#passed += pieces.length;
    return pieces;
  }

  #close(data: unknown): void {
    const closing = Closing.safeParse(data);
    this.#error = closing.success ? brokenStatus(closing.data.response.status) : MALFORMED;
    this.#usage = usageOf(closing.data?.response.usage);
    this.#done = true;
  }
}

/** @returns what is wrong with a whole, non-streamed answer; undefined when it is whole */
export function brokenResponse(body: unknown): string | undefined {
  const answer = Answer.safeParse(body);
  return answer.success ? brokenStatus(answer.data.status) : 'a 200 that holds no answer';
}

export function usageOfResponse(body: unknown): Usage | undefined {
  return usageOf(Answer.safeParse(body).data?.usage);
}

/** `incomplete` is an answer that was as long as allowed. */
function brokenStatus(status: string): string | undefined {
  return status === 'completed' || status === 'incomplete' ? undefined : `status ${status}`;
}

function usageOf(usage: z.infer<typeof ResponseUsage> | null | undefined): Usage | undefined {
  return usage === null || usage === undefined
    ? undefined
    : { promptTokens: usage.input_tokens, completionTokens: usage.output_tokens };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
