import type { Usage } from '../request/chat.ts';
import type { Failure } from '../failure.ts';

/** Instants (clock of this process, ms) of one request's way, and how often it ran again. */
export interface Phases {
  requestId: string;
  enqueuedAt?: number;
  claimedAt?: number;
  firstByteAt?: number;
  repeats: number;
}

/** Takes down what becomes known of an answer, for the log and the metrics. */
export interface Notes {
  readonly phases: Phases;
  /** @param outcome how a stream whose engine was lost went on: `continued`, `closed`, or the reason why not */
  continuation(outcome: string): void;
  /** A stream could not become whole, and its client was told so in it. */
  broken(failure: Failure): void;
  /** An answer is whole, and is written next. */
  whole(usage: Usage | undefined): void;
  /** A stream is over, however it ended. @param bytes that its client was sent */
  streamed(bytes: number, usage: Usage | undefined): void;
}
