import type { AnswerForm, StreamIdentity } from '../request/chat.ts';
import type { Failure } from '../failure.ts';

/** A whole answer in the form of the caller's API. */
export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** How an API writes what is not passed on as the engine wrote it. A dialect is one. */
export interface Renderers {
  /** @param facts `modelMs`: from the queue to the whole answer, in milliseconds */
  renderAnswer(engineBody: Buffer, facts: { readonly form?: AnswerForm; readonly modelMs: number }): Rendered;
  /** @param eventsBefore events that the client has, where the API numbers them */
  renderStreamFailure(failure: Failure, eventsBefore?: number): string;
  /** a translator for one stream, where the API's events are not the engine's */
  readonly renderEvents?: () => (events: Buffer | string) => string;
  readonly cutsBrokenStreams?: boolean;
  /** in place of comments */
  readonly emptyEvent?: (stream: StreamIdentity) => string;
}
