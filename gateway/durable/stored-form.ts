import type { AnswerState } from '#contract/answer-log';
import type { Failure } from '../failure.ts';
import type { StreamIdentity } from '../request/chat.ts';
import { identityOf, tellFailure, type KeptRequest } from './record.ts';

/** How a route's kept answers look. */
export interface StoredForm {
  /** two events, numbered 0 and 1, that say that the request waits in the queue */
  readonly queuedEvents: (stream: StreamIdentity) => string;
  /** @returns the event that reports a failure @param eventsBefore events that the client has */
  readonly renderStreamFailure: (failure: Failure, eventsBefore: number) => string;
  /** @returns the response as JSON */
  readonly renderState: (stream: StreamIdentity, state: AnswerState, failure?: Failure) => string;
}

/** What a record has of an answer that did not complete: the response as JSON, or the failure of a stream. */
export function endOf(form: StoredForm, id: string, kept: KeptRequest, state: AnswerState, failure?: Failure): string {
  if (kept.post === undefined) return form.renderState(identityOf(id, kept), state, failure);
  return failure === undefined ? '' : tellFailure(failure);
}
