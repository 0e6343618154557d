import type { Failure } from '../failure.ts';
import type { Usage } from '../request/chat.ts';
import type { StreamSeam } from './continuation.ts';
import type { Head } from '#contract/frame';

/** Receives the answer of a request, attempt by attempt. */
export interface Reply {
  /** The request has its place in the queue. */
  placed?(): void;
  head(head: Head): void;
  /** @returns the failure that makes the rest of this attempt useless */
  data(chunk: Buffer): Failure | undefined;
  /** The engine's last byte has arrived. @returns what is wrong with the answer; undefined if it is complete */
  end(): Failure | undefined;
  /** the client has the complete answer with its end: no failure can follow */
  readonly isWhole?: boolean;
  /**
   * The attempt was lost: decides how the answer can still be completed, and forgets what the client did not get.
   * @param original the engine's request of the attempt
   */
  resume(original: Buffer): Promise<Resume>;
}

/** Receives an answer whose frames are in a log. */
export interface LoggedReply extends Reply {
  /** the client has a part of the answer */
  readonly hasData: boolean;
  readonly usage: Usage | undefined;
  /** From now on the frames of a further epoch arrive. @returns the seam */
  follow(seam: StreamSeam): StreamSeam;
  /** Call it when the request is over, however it ended. */
  close(): void;
}

export type Resume =
  /**
   * by a further attempt with this engine request: the same one, or one whose answer is the rest. `delivered`: how many
   * tokens of the answer its prompt then holds. `seam`: how its events follow, for a process that writes them again
   */
  | { readonly kind: 'ask'; readonly body: Buffer; readonly delivered?: number; readonly seam?: StreamSeam }
  /** only the end was missing, and the client has it now */
  | { readonly kind: 'whole'; readonly seam?: StreamSeam }
  | { readonly kind: 'impossible' };
