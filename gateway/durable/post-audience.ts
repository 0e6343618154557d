import type { Clock } from '#runtime/clock';
import type { Continuation } from '../answer/continuation.ts';
import { waitingExtras, type DeliverDeps, type Recipient } from '../answer/deliver.ts';
import { DialectStream } from '../answer/dialect-stream.ts';
import { madeIdentity } from '../answer/empty-events.ts';
import { engineAnswer } from '../answer/engine/answer.ts';
import type { Asked } from '../answer/question.ts';
import type { Rendered, Renderers } from '../answer/renderers.ts';
import { withServiceTier } from '../answer/service-tier.ts';
import { WholeReply } from '../answer/whole-reply.ts';
import type { Failure } from '../failure.ts';
import { EventIds } from './event-ids.ts';
import type { Audience } from './owner-view.ts';
import type { KeptRequest } from './record.ts';

/** The client that waits here for an answer to a POST that this gateway begins. */
export interface WaitingClient extends Audience {
  /** It has the end. */
  readonly isOver: boolean;
  /**
   * Nothing more is written to it from here.
   * @returns number of the last event that it has, -1: none; undefined: it has a part without numbers
   */
  leave(): number | undefined;
  /** It has a part of an answer that cannot be completed. */
  breakOff(failure: Failure): void;
}

/** The client of a stream. */
export function streamingAudience(
  deps: Omit<DeliverDeps, 'ask' | 'continuation'>,
  asked: Asked,
  kept: KeptRequest,
  { client, render, notes, signal }: Recipient,
): WaitingClient {
  let stream: DialectStream | undefined;
  let ids: EventIds | undefined;
  let isOver = false;
  const noteStream = (): void => notes.streamed(stream?.reply.bytes ?? 0, stream?.reply.usage);
  return {
    open: (id, continuation) => {
      ids = new EventIds(id, -1);
      const extras = { ...waitingExtras(deps, asked, { notes }), ...numbered(render, ids) };
      stream = postStream(id, kept, { client, render }, continuation, extras);
      return stream.reply;
    },
    get isGone() {
      return client.isGone || signal.aborted;
    },
    get isOver() {
      return isOver;
    },
    end: () => {
      // Before the last byte, after which the log line is written.
      noteStream();
      stream?.client.end();
      isOver = true;
    },
    leave: () => {
      stream?.reply.close();
      if (!client.isBegun) return -1;
      return render.numbersEvents === true ? (ids?.highest ?? -1) : undefined;
    },
    breakOff: (failure) => {
      notes.broken(failure);
      noteStream();
      stream?.breakOff(failure);
    },
  };
}

/** The client of an answer in one piece. */
export function gatheringAudience(
  kept: KeptRequest,
  { client, render, notes, signal }: Recipient,
  clock: Clock,
): WaitingClient {
  const reply = wholeReply(kept);
  const askedAt = clock();
  return {
    open: () => reply,
    get isGone() {
      return client.isGone || signal.aborted;
    },
    get isOver() {
      return client.isBegun;
    },
    end: () => {
      notes.phases.firstByteAt = clock();
      notes.whole(reply.usage);
      if (!client.isGone) client.send(rendered(render, reply, kept, clock() - askedAt));
    },
    leave: () => -1,
    breakOff: (failure) => notes.broken(failure),
  };
}

/** A stream of the answer to a POST: all its readers get the same events. */
export function postStream(
  id: string,
  kept: KeptRequest,
  { client, render }: Pick<Recipient, 'client' | 'render'>,
  continuation: Pick<Continuation, 'add' | 'decide' | 'release'>,
  extras: Omit<ConstructorParameters<typeof DialectStream>[4], 'identity' | 'isFixed'>,
): DialectStream {
  const facts = { ...kept, passUsage: kept.post?.passUsage ?? false };
  const identity = () => madeIdentity(kept, id, kept.created);
  return new DialectStream(client, render, facts, continuation, { ...extras, identity, isFixed: true });
}

/** Gathers an answer in one piece. */
export function wholeReply({ path, choices, messagesParam }: KeptRequest): WholeReply {
  return new WholeReply(engineAnswer(path, choices), messagesParam);
}

/** The answer in one piece as its caller's API has it. @param modelMs how long the model took */
export function rendered(
  render: Renderers,
  reply: WholeReply,
  { serviceTier, post }: KeptRequest,
  modelMs: number,
): Rendered {
  const form = post?.form;
  const body = withServiceTier(reply.body, serviceTier);
  return render.renderAnswer(body, { modelMs, ...(form === undefined ? {} : { form }) });
}

/** What numbers the events of a stream, if its API has numbers. */
export function numbered(render: Renderers, ids: EventIds): { readonly number?: (events: Buffer | string) => string } {
  return render.numbersEvents === true ? { number: (events) => ids.pass(events) } : {};
}
