import type { Failure } from '../failure.ts';
import type { Verdict } from '../request/content-filter.ts';

/** A picture as an engine gets it. */
export interface Picture {
  /** such as `image/png` */
  readonly mediaType: string;
  readonly base64: Buffer;
  /** of the picture itself */
  readonly bytes: number;
  /** path in the caller's body */
  readonly param: string;
}

export type Direction = 'prompt' | 'answer';

/** What one question to the service holds: some texts, or one picture. */
export interface Content {
  readonly direction: Direction;
  readonly model: string;
  readonly texts: readonly string[];
  readonly pictures: readonly Picture[];
}

/** A service that judges content. */
export interface Provider {
  /** Divides content into questions that the service takes. @throws Unchecked, with a refusal, for what it never takes */
  questions(content: Content): readonly Content[];
  /** @throws Unchecked; `signal.reason`, unchanged */
  check(question: Content, signal: AbortSignal): Promise<Verdict>;
}

/** Why the service gave no verdict: each is a label of a metric. */
export const UNCHECKED_REASONS = ['timeout', 'busy', 'unreachable', 'refused', 'malformed'] as const;
export type UncheckedReason = (typeof UNCHECKED_REASONS)[number];

/** The service gave no verdict. It holds no text of a caller, and none of the service. */
export class Unchecked extends Error {
  readonly reason: UncheckedReason;
  /** what the caller gets, whatever the operator lets pass, when it is the cause itself; absent: the service is */
  readonly refusal: Failure | undefined;

  constructor(reason: UncheckedReason, message: string, refusal?: Failure) {
    super(message);
    this.reason = reason;
    this.refusal = refusal;
  }
}
