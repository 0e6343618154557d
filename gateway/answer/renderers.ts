import type { AnswerForm, StreamIdentity } from '../request/chat.ts';
import type { Failure } from '../failure.ts';

/** A complete answer in the form of the caller's API. */
export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** How an API writes what is not passed on unchanged. Each dialect implements it. */
export interface Renderers {
  /** @param facts `modelMs`: from the queue to the complete answer, in milliseconds */
  renderAnswer(engineBody: Buffer, facts: { readonly form?: AnswerForm; readonly modelMs: number }): Rendered;
  /** @param eventsBefore events that the client has, if the API numbers them */
  renderStreamFailure(failure: Failure, eventsBefore?: number): string;
  /** a translator for one stream, if the API's events differ from the engine's */
  readonly renderEvents?: () => (events: Buffer | string) => string;
  readonly cutsBrokenStreams?: boolean;
  /** its answers tell what the content filter found, as Azure OpenAI's do */
  readonly tellsFilterResults?: true;
  /** its clients take `id:` lines, so that a stream can go on after any event */
  readonly numbersEvents?: true;
  /** replaces comments */
  readonly emptyEvent?: (stream: StreamIdentity) => string;
  /** two events, numbered 0 and 1, that say that the request waits in the queue */
  readonly queuedEvents?: (stream: StreamIdentity) => string;
}
