import type { Verdict } from '../request/content-filter.ts';

/** The content filter of one request. */
export interface AnswerFilter {
  /** what it says about the prompt; absent: it does not judge prompts */
  readonly prompt: Verdict | undefined;
  /**
   * Judges texts of the answer; absent: it does not judge answers.
   * @throws Failure `safety_unavailable`; `signal.reason`, unchanged
   */
  readonly judge: ((texts: readonly string[], signal: AbortSignal) => Promise<Verdict>) | undefined;
  /** how much of a stream is held back, in characters */
  readonly windowCharacters: number;
  /** An answer was blocked. */
  blocked(): void;
}
