import { z } from 'zod';
import { saysEngineGone } from '#contract/engine-gone';
import type { EnginePath } from '#contract/job';
import { readJson } from '#contract/read-json';
import { StreamedTokens } from '#contract/streamed-tokens';
import type { AttemptUsage } from '#contract/usage';

const ErrorEvent = z.object({ error: z.object({ code: z.int().catch(500) }) });
/** Cannot occur in an answer's text, where its quotes would be escaped. The same holds for the next one. */
const ERROR_EVENT = 'data: {"error"';
const USAGE = '"usage":{';
const END_MARK = 'data: [DONE]';
/** Cannot occur in a text either. */
const FINISH_REASON = /"finish_reason": ?"([a-z_]{1,30})"/g;
/** Limit of reasons, one for each choice. */
const MOST_REASONS = 16;

/** Source: vLLM's chat and completions; its responses. */
const Usage = z.union([
  z.object({ prompt_tokens: z.int().nonnegative(), completion_tokens: z.int().nonnegative().default(0) }),
  z
    .object({ input_tokens: z.int().nonnegative(), output_tokens: z.int().nonnegative() })
    .transform(({ input_tokens: input, output_tokens: output }) => ({
      prompt_tokens: input,
      completion_tokens: output,
    })),
]);

/** The end of an engine's answer: its last two chunks, because its last event may be in both, and how much came before. */
export class AnswerEnd {
  #status = 0;
  #isStream = false;
  #earlier: Buffer = Buffer.alloc(0);
  #before: Buffer = Buffer.alloc(0);
  #chunk: Buffer = Buffer.alloc(0);
  readonly #streamed = new StreamedTokens();

  head(status: number, contentType: string): void {
    this.#status = status;
    this.#isStream = contentType.startsWith('text/event-stream');
  }

  /** Copies the chunk. */
  add(chunk: Buffer): void {
    this.#earlier = this.#before;
    this.#before = this.#chunk;
    this.#chunk = Buffer.from(chunk);
    if (this.#isStream) this.#streamed.add(chunk);
  }

  /** its head came, and says that a stream follows */
  get isStream(): boolean {
    return this.#status === 200 && this.#isStream;
  }

  /** The status of the answer, or the code of the error event at the end of its stream. */
  get status(): number {
    if (this.#status >= 400) return this.#status;
    const end = this.#end;
    const from = end.lastIndexOf(ERROR_EVENT);
    if (from < 0) return this.#status;
    const line = end.toString('utf8', from + 'data: '.length).split('\n', 1)[0] ?? '';
    return readJson(ErrorEvent, line)?.error.code ?? 500;
  }

  /** Whether an error status, or an error event at the end of a stream, reports that this engine has stopped serving. */
  get reportsItsEnd(): boolean {
    const end = this.#end;
    const from = this.#status >= 500 ? 0 : end.lastIndexOf(ERROR_EVENT);
    return from >= 0 && saysEngineGone(end.toString('utf8', from));
  }

  /** Why its choices ended, as far as its last three chunks tell: the usage event and the end mark may be alone in the last ones. */
  get finishReasons(): readonly string[] {
    const end = Buffer.concat([this.#earlier, this.#end]).toString('latin1');
    return [...end.matchAll(FINISH_REASON)].slice(-MOST_REASONS).map(([, reason = '']) => reason);
  }

  /**
   * The tokens of the attempt: the engine's own count, if the answer came to its end. Otherwise the last count in a
   * stream, or its events, are `partial`.
   * @param isOver the engine ended the answer itself
   */
  tokens(path: EnginePath, isOver: boolean): Omit<AttemptUsage, 'picture' | 'slotMs'> {
    const end = this.#end;
    const usage = this.#status === 200 ? usageIn(end) : undefined;
    const isWhole = (isOver || end.includes(END_MARK)) && this.status < 400;
    if (usage !== undefined && isWhole)
      return { prompt: usage.prompt_tokens, answer: usage.completion_tokens, partial: 0 };
    if (!this.isStream) return { prompt: 0, answer: 0, partial: 0 };
    const withoutToken = [ERROR_EVENT, END_MARK].filter((mark) => end.includes(mark)).length;
    const partial = usage?.completion_tokens ?? Math.max(0, this.#streamed.of(path) - withoutToken);
    return { prompt: 0, answer: 0, partial };
  }

  get #end(): Buffer {
    return Buffer.concat([this.#before, this.#chunk]);
  }
}

function usageIn(end: Buffer): z.infer<typeof Usage> | undefined {
  const from = end.lastIndexOf(USAGE);
  if (from < 0) return undefined;
  const start = from + USAGE.length - 1;
  // It holds numbers and objects of numbers, and no text that could contain a brace.
  let depth = 0;
  for (let at = start; at < end.length; at += 1) {
    if (end[at] === OPEN) depth += 1;
    else if (end[at] === CLOSE) depth -= 1;
    if (depth === 0) return readJson(Usage, end.toString('utf8', start, at + 1));
  }
  return undefined;
}
const OPEN = 0x7b;
const CLOSE = 0x7d;
