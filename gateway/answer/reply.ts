import type { Failure } from '../failure.ts';
import type { Head } from '#contract/frame';

/** Where the answer of a request goes, attempt by attempt. */
export interface Reply {
  head(head: Head): void;
  /** @returns what makes the rest of this attempt worthless */
  data(chunk: Buffer): Failure | undefined;
  /** The engine's last byte was given. @returns what is wrong with the answer; undefined when it is whole */
  end(): Failure | undefined;
  /** the client has all of it, its end included: no failure can come any more */
  readonly isWhole?: boolean;
  /**
   * The attempt was lost: how the answer can still become whole. It forgets what no client has seen.
   * @param original the engine's request of the attempt
   */
  resume(original: Buffer): Promise<Resume>;
}

export type Resume =
  /** by a further attempt, with this request of the engine: the same, or one whose answer is the rest */
  | { readonly kind: 'ask'; readonly body: Buffer }
  /** nothing was missing but the end, which the client has by now */
  | { readonly kind: 'whole' }
  | { readonly kind: 'impossible' };
