import type { ChatRequest } from '#contract/chat';
import type { Failure } from '#contract/failure';

/** A whole HTTP answer, ready to be written. */
export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** One API shape of callers: objects and bytes in, objects and bytes out; pure. */
export interface Dialect {
  readonly name: 'openai' | 'azure_score';
  /** @throws Failure that names the field at fault in the caller's words */
  parse(body: unknown): ChatRequest;
  /** The engine's whole, successful, non-streamed answer, as its bytes came. */
  renderAnswer(engineBody: Buffer): Rendered;
  /** Before the first byte: status, headers and body as this dialect's callers expect them. */
  renderFailure(failure: Failure): Rendered;
  /**
   * After the first byte of a stream: the event that tells of the end. No `[DONE]` follows it.
   * @param eventsBefore events that the client has, where the API numbers them
   */
  renderStreamFailure(failure: Failure, eventsBefore: number): string;
}
