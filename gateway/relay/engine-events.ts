import { z } from 'zod';
import type { Usage } from '#contract/chat';
import { EventCutter, joinPieces, type EventWatch } from './event-watch.ts';

const DATA = 'data: {';
const DATA_END = '}\n\n';
/** vLLM sends them while a stream is idle, if told to. */
const COMMENT = ':';
/** what `error` says of an event that no client could read */
export const MALFORMED = 'a malformed event';
const DONE = 'data: [DONE]';
const ERROR = 'data: {"error"';
/** Stands in no event's text: inside a JSON string its quotes would be escaped. */
const NO_CHOICES = '"choices":[]';
/** The generation was ended by a server that stops. */
const ABORTED = '"finish_reason":"abort"';

const EngineUsage = z.object({ prompt_tokens: z.number(), completion_tokens: z.number().default(0) });
const Closing = z.object({ choices: z.array(z.unknown()).max(0), usage: EngineUsage });
const EngineError = z.object({ error: z.object({ message: z.string(), code: z.number().optional() }) });
const Whole = z.object({ usage: EngineUsage });

/**
 * Watches an engine's SSE bytes go by: usage, error, `[DONE]`. Takes out the closing usage event when the caller had not
 * asked for it, and an error event with all that follows, as vLLM ends a broken stream with `[DONE]` too. All other
 * bytes pass untouched; events are never parsed but for those.
 */
export class EngineEvents implements EventWatch {
  readonly #passUsage: boolean;
  #join: ((event: Buffer) => Buffer | undefined) | undefined;
  readonly #cutter = new EventCutter();
  #done = false;
  #usage: Usage | undefined;
  #error: string | undefined;
  #refusal: { readonly status: number; readonly body: Buffer } | undefined;

  /** @param join makes an event of a second life one of the first, or drops it; then each event is read */
  constructor(passUsage: boolean, join?: (event: Buffer) => Buffer | undefined) {
    this.#passUsage = passUsage;
    this.#join = join;
  }

  /** the stream said that it is whole, and no error came before */
  get done(): boolean {
    return this.#done && this.#error === undefined;
  }
  get usage(): Usage | undefined {
    return this.#usage;
  }
  /** what the engine said went wrong */
  get error(): string | undefined {
    return this.#error;
  }

  /**
   * The request was refused after its stream had begun, as vLLM does where only its engine knows the rule (a token id
   * outside the vocabulary, a grammar that cannot be built): status and body as it would have answered before.
   */
  get refusal(): { readonly status: number; readonly body: Buffer } | undefined {
    return this.#refusal;
  }

  /** From here on each event is read and made another. */
  joinBy(join: ((event: Buffer) => Buffer | undefined) | undefined): void {
    this.#join = join;
  }

  /** @returns the bytes to pass on, whole events only; may be empty */
  take(chunk: Buffer): Buffer {
    if (this.#cutter.isBetween && this.#join === undefined && isPlain(chunk))
      return this.#error === undefined ? chunk : Buffer.alloc(0);
    const passed: Buffer[] = [];
    for (const event of this.#cutter.cut(chunk)) {
      const whole = this.#pass(event);
      if (whole !== undefined) passed.push(whole);
    }
    if (this.#cutter.isEndless) this.#error = 'an event without an end';
    return joinPieces(passed);
  }

  #pass(event: Buffer): Buffer | undefined {
    if (this.#error !== undefined) return undefined;
    if (starts(event, DONE)) {
      this.#done = true;
      return event;
    }
    if (starts(event, ERROR)) {
      const said = EngineError.safeParse(jsonOf(event));
      this.#error = said.success ? said.data.error.message : 'unreadable error event';
      const status = said.data?.error.code ?? 0;
      // A copy, as the piece is a view of a large reply.
      if (status >= 400 && status < 500) this.#refusal = { status, body: Buffer.from(event.subarray('data: '.length)) };
      return undefined;
    }
    if (event.includes(ABORTED)) {
      this.#error = 'EngineCore encountered an issue: finish_reason abort';
      return undefined;
    }
    if (starts(event, COMMENT)) return event;
    if (!starts(event, DATA) || !event.includes(DATA_END, -DATA_END.length)) {
      this.#error = MALFORMED;
      return undefined;
    }
    const joined = this.#join === undefined ? event : this.#join(event);
    if (joined === undefined || !joined.includes(NO_CHOICES)) return joined;
    const closing = Closing.safeParse(jsonOf(joined));
    if (!closing.success) return joined;
    this.#usage = usageOf(closing.data.usage);
    return this.#passUsage ? joined : undefined;
  }
}

/** Token counts of a whole, non-streamed answer, if it carries any. */
export function usageOfAnswer(body: Buffer): Usage | undefined {
  const parsed = Whole.safeParse(parseJson(body.toString()));
  return parsed.success ? usageOf(parsed.data.usage) : undefined;
}

/** Begins and ends as events do, and holds none that must be looked at. */
function isPlain(chunk: Buffer): boolean {
  const { length } = chunk;
  return (
    length > DATA.length + DATA_END.length &&
    chunk[length - 1] === 10 &&
    chunk[length - 2] === 10 &&
    chunk[length - 3] === 125 &&
    chunk[0] === 100 &&
    chunk[6] === 123 &&
    !chunk.includes(NO_CHOICES) &&
    !chunk.includes(DONE) &&
    !chunk.includes(ERROR) &&
    !chunk.includes(ABORTED)
  );
}

function starts(event: Buffer, text: string): boolean {
  return event.toString('latin1', 0, text.length) === text;
}

function jsonOf(event: Buffer): unknown {
  return parseJson(event.toString('utf8', 'data: '.length));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function usageOf(usage: z.infer<typeof EngineUsage>): Usage {
  return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
}
