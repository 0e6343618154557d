import type { Usage } from '../../request/chat.ts';
import type { Failure } from '../../failure.ts';

/** An event's JSON. */
export type Members = Readonly<Record<string, unknown>>;
/** Changes an event, or drops it. */
export type Join = (event: Members) => Members | undefined;

/** Watches the events of an engine's stream, decides what to pass on, and knows the state of the stream. */
export interface EventWatch {
  /**
   * @returns the bytes to pass on: complete events in vLLM's form, without comments; may be empty. The end mark is
   * among them only when the answer is complete; anything after it is dropped
   */
  take(chunk: Buffer): Buffer;
  /** the answer is complete (see `whole-answer.ts`) */
  readonly done: boolean;
  /** everything that was requested has arrived, except perhaps the end mark */
  readonly isFinished: boolean;
  readonly usage: Usage | undefined;
  /** why this stream can no longer become a complete answer */
  readonly failure: Failure | undefined;
  /** the request was refused after its stream had begun: the status and body that it would have got before */
  readonly refusal: { readonly status: number; readonly body: Buffer } | undefined;
  /** From now on each event is parsed and changed; absent if no event can be put before or between the engine's. */
  joinBy?(join: Join | undefined): void;
  /** events passed on, if the API numbers them */
  readonly passed?: number;
}
