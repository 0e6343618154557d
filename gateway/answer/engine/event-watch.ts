import type { Usage } from '../../request/chat.ts';
import type { Failure } from '../../failure.ts';

/** An event's JSON. */
export type Members = Readonly<Record<string, unknown>>;
/** Makes an event another one, or drops it. */
export type Join = (event: Members) => Members | undefined;

/** Watches the events of an engine's stream go by, and says what to pass on and how the stream stands. */
export interface EventWatch {
  /**
   * @returns the bytes to pass on: whole events in the form in which vLLM writes them, without comments; may be empty.
   * The end mark is among them only once the answer is whole; what comes after it is dropped
   */
  take(chunk: Buffer): Buffer;
  /** the answer is whole (see `whole-answer.ts`) */
  readonly done: boolean;
  /** all that was asked for came, be the end mark missing */
  readonly isFinished: boolean;
  readonly usage: Usage | undefined;
  /** why this stream cannot become a whole answer any more */
  readonly failure: Failure | undefined;
  /** the request was refused after its stream had begun: status and body as they would have been before */
  readonly refusal: { readonly status: number; readonly body: Buffer } | undefined;
  /** From here on each event is read and made another; absent where nothing is put before or between the engine's. */
  joinBy?(join: Join | undefined): void;
  /** events passed on, where the API numbers them */
  readonly passed?: number;
}
