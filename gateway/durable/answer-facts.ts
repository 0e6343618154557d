import { replicaOf } from '#contract/answer-log';
import type { AnswerRecord, KeptRequest } from './record.ts';

/** A durable answer, as its record is. */
export interface Found {
  readonly id: string;
  readonly record: AnswerRecord;
}

/** What operators may know of an answer: nothing of its words. */
export interface AnswerFacts
  extends
    Pick<AnswerRecord, 'key' | 'state' | 'owner' | 'n' | 'epoch' | 'token' | 'dispatcher'>,
    Pick<KeptRequest, 'model' | 'kind' | 'created'> {
  readonly id: string;
  readonly background: boolean;
  readonly store: boolean;
}

export function factsOf({ id, record }: Found): AnswerFacts {
  const { key, state, owner, n, epoch, token, dispatcher, asked } = record;
  const { model, kind, created, shown } = asked;
  const [background, store] = [shown['background'] === true, shown['store'] === true];
  return {
    id,
    key,
    model,
    kind,
    state,
    created,
    background,
    store,
    owner: replicaOf(owner) ?? owner,
    n,
    epoch,
    token,
    dispatcher,
  };
}
