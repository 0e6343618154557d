import type { ApiError } from '../http/errors.ts';
import type { Sequence, Step } from './sequence.ts';

/** One choice of one request in the engine. Times are milliseconds of the monotonic clock. */
export interface Task {
  readonly id: string;
  readonly sequence: Sequence;
  readonly promptTokens: number;
  readonly pictures: number;
  readonly maxTokens: number;
  /** lower runs first, if the engine has priorities */
  readonly priority: number;
  readonly arrivedAt: number;
  /** called for each token, the last one with a finish reason */
  readonly onStep: (step: Step) => void;
  /** called once when the engine dies before the answer is complete */
  readonly onFailure: (error: ApiError) => void;
  startedAt: number;
  firstTokenAt: number;
  lastTokenAt: number;
  /** when the next step of this task is due */
  nextAt: number;
  prefillUntil: number;
}
