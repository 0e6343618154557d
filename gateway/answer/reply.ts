import type { Failure } from '../failure.ts';
import type { Head } from '#contract/frame';

/** Receives the answer of a request, attempt by attempt. */
export interface Reply {
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

export type Resume =
  /**
   * by a further attempt with this engine request: the same one, or one whose answer is the rest. `delivered`: how many
   * tokens of the answer its prompt then holds
   */
  | { readonly kind: 'ask'; readonly body: Buffer; readonly delivered?: number }
  /** only the end was missing, and the client has it now */
  | { readonly kind: 'whole' }
  | { readonly kind: 'impossible' };
