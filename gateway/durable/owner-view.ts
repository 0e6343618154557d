import type { Clock } from '#runtime/clock';
import type { ClientStream } from '../answer/client-stream.ts';
import type { Continuation } from '../answer/continuation.ts';
import { engineAnswer } from '../answer/engine/answer.ts';
import { QueuedResponse } from '../answer/queued-response.ts';
import type { LoggedReply } from '../answer/reply.ts';
import { StreamReply } from '../answer/stream-reply.ts';
import { WholeReply } from '../answer/whole-reply.ts';
import { LastEvent } from './last-event.ts';
import { identityOf, type KeptRequest } from './record.ts';
import type { StoredForm } from './stored-form.ts';

/** Only clients need comments. In ms. */
const NEVER_MS = 1_000_000_000;

/** What an owner makes of the frames of an answer. */
export interface OwnerView {
  readonly reply: LoggedReply;
  /** how the answer ended, and what its record has of it; undefined: it is not complete */
  readonly whole: () => { readonly state: 'completed' | 'incomplete'; readonly json: string } | undefined;
}

/** The client that waits at the owner. */
export interface Audience {
  /** Begins its answer, which is written without a detour. */
  open(id: string, continuation: Continuation): LoggedReply;
  /** The client has left. */
  readonly isGone: boolean;
  /** The answer is complete. */
  end(): void;
}

const NOBODY: ClientStream = {
  isBegun: false,
  isGone: true,
  unsentBytes: 0,
  send: () => {},
  write: () => {},
  end: () => {},
  cut: () => {},
  giveUp: () => {},
};

/** The answer from its start, as a reader gets it. */
export function ownerView(
  id: string,
  kept: KeptRequest,
  continuation: Continuation,
  {
    form,
    clock,
    audience,
  }: { readonly form: StoredForm; readonly clock: Clock; readonly audience?: Audience | undefined },
): OwnerView {
  const { path, model, choices, messagesParam, post } = kept;
  const replyTo = (client: ClientStream, passUsage: boolean, more: { readonly queued?: QueuedResponse }): StreamReply =>
    new StreamReply(client, {
      answer: engineAnswer(path, choices),
      messagesParam,
      passUsage,
      continuation,
      keepAliveMs: NEVER_MS,
      slowClientBytes: Infinity,
      clock,
      onFirstByte: () => {},
      ...more,
    });
  if (post !== undefined) {
    const unheard = (): LoggedReply =>
      post.stream ? replyTo(NOBODY, post.passUsage, {}) : new WholeReply(engineAnswer(path, choices), messagesParam);
    return { reply: audience?.open(id, continuation) ?? unheard(), whole: () => ({ state: 'completed', json: '' }) };
  }
  const client = new LastEvent();
  const queued = new QueuedResponse(form.queuedEvents, model, { requestId: id }, identityOf(id, kept));
  const reply = replyTo(client, true, { queued });
  reply.open();
  return { reply, whole: () => client.response };
}
