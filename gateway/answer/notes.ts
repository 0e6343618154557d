import type { Usage } from '../request/chat.ts';
import type { Failure } from '../failure.ts';
import type { RequestTrace } from './request-trace.ts';

/** Instants (clock of this process, ms) of one request's stages, and the number of its repeats. */
export interface Phases {
  requestId: string;
  enqueuedAt?: number;
  /** the wait as it was estimated when it was enqueued, in milliseconds */
  estimateMs?: number | undefined;
  /** time that the content filter took for the prompt and for the answer, in milliseconds */
  promptCheckMs?: number;
  answerCheckMs?: number;
  claimedAt?: number;
  firstByteAt?: number;
  /** tokens of a stream that had arrived when its client left */
  leftAfter?: number;
  repeats: number;
  /** absent: it has no trace */
  trace?: RequestTrace;
}

/** Records the course of an answer, for the log and the metrics. */
export interface Notes {
  readonly phases: Phases;
  /** @param outcome how a stream whose engine was lost went on: `continued`, `closed`, or the reason why not */
  continuation(outcome: string): void;
  /** A stream could not be completed, and its client got the failure in it. */
  broken(failure: Failure): void;
  /** An answer is complete, and is written next. */
  whole(usage: Usage | undefined): void;
  /** A stream is over, however it ended. @param bytes that were sent to its client */
  streamed(bytes: number, usage: Usage | undefined): void;
}
