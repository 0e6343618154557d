import type { AnswerState } from '#contract/answer-log';
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
import { Failure, isFailure, rowOf, toFailure } from '../failure.ts';
import type { DurableRef } from '../queue/idempotency.ts';
import type { AnswerStore } from './answer-store.ts';
import type { DurableAnswers } from './durable-answers.ts';
import { EventIds, eventAfter } from './event-ids.ts';
import { followLog } from './follow-log.ts';
import type { LastingEnds } from './lasting-ends.ts';
import { LogReplay, READER } from './log-replay.ts';
import type { LogTail } from './log-tail.ts';
import type { Audience } from './owner-view.ts';
import { ReaderNotes } from './reader-notes.ts';
import { failureOf, keptRequest, lifeOf, type AnswerRecord, type KeptRequest } from './record.ts';

export interface PostDeps extends Omit<DeliverDeps, 'ask' | 'continuation'> {
  readonly answers: DurableAnswers;
  readonly store: AnswerStore;
  readonly ends: LastingEnds;
  readonly tail: LogTail;
  readonly clock: Clock;
  /** how long an answer can be fetched after its end, in ms */
  readonly idempotencyTtlMs: number;
  /** how long an answer goes on without a reader, in ms */
  readonly durableGraceMs: number;
}

/** What becomes of an answer whose last reader has left; without a word of its client, it goes on for the grace time. */
export type OnDisconnect = 'cancel' | 'continue';

type FinalState = Exclude<AnswerState, 'queued' | 'running'>;

/** The key of a request, which leads to its answer. */
interface Pointer {
  point(answer: DurableRef, lifeMs: number): Promise<void>;
  /** The request did not run: it may be sent again. */
  release(): Promise<void>;
}

/** What a request asks of its durable answer. */
export interface Wish {
  readonly onDisconnect: OnDisconnect | undefined;
  /** headers that later requests with its key get too */
  readonly headers: Readonly<Record<string, string>>;
}

/** The client that waits here for an answer that this gateway begins. */
interface Waiting extends Audience {
  /** Another gateway goes on: a client without the end comes again. */
  giveUp(): void;
  /** The client has a part of an answer that cannot be completed. */
  breakOff(failure: Failure): void;
}

/** A client of an answer that an earlier request began. */
type Reader = Pick<Recipient, 'client' | 'render' | 'signal'>;
interface Found {
  readonly id: string;
  readonly record: AnswerRecord;
}

/** What the edge needs of them. */
export type Posts = Pick<DurablePosts, keyof DurablePosts>;

/** Answers to POSTs with an idempotency key. They outlive their connection; the same POST gets them again. */
export class DurablePosts {
  readonly #deps: PostDeps;
  readonly #readers: ReaderNotes;

  constructor(deps: PostDeps) {
    this.#deps = deps;
    this.#readers = new ReaderNotes(deps.store);
  }

  isOffered(model: string): boolean {
    return this.#deps.answers.isOffered(model);
  }

  /** Whether the request of an answer may run again: it never ran, or it was cancelled. */
  async isFree({ model, id }: DurableRef): Promise<boolean> {
    const record = await this.#deps.store.read(model, id);
    if (record === undefined || (record.state !== 'cancelled' && record.state !== 'failed')) return false;
    const { code, status } = failureOf(record);
    // It may have run, and runs again only if its caller wants that: with another key.
    const hasRun = status >= 500 && (rowOf(code).retry === 'by_caller' || rowOf(code).retry === 'never');
    return code === 'client_closed' || !hasRun;
  }

  /**
   * Takes a checked request to its answer. It goes on when its client has left.
   * @throws Failure of anything before the client had a byte
   */
  async answer(asked: Asked, { onDisconnect, headers }: Wish, key: Pointer, recipient: Recipient): Promise<void> {
    const { answers, idempotencyTtlMs, durableGraceMs } = this.#deps;
    const { client, notes, signal } = recipient;
    const { question, stream, passUsage, form } = asked;
    const { model } = question;
    const graceMs = onDisconnect === undefined ? durableGraceMs : onDisconnect === 'cancel' ? 0 : null;
    const post = { stream, passUsage, graceMs, headers, ...(form === undefined ? {} : { form }) };
    const kept = { ...keptRequest(asked, {}, idempotencyTtlMs), post };
    const waiting = stream ? this.#streaming(asked, kept, recipient) : this.#gathering(kept, recipient);
    signal.addEventListener('abort', () => answers.look());
    const request = { asked, kept, phases: notes.phases, audience: waiting };
    const begun = await answers
      .begin(request, (id) => key.point({ model, id }, lifeOf(kept)))
      .catch(async (cause: unknown) => {
        await key.release();
        throw cause;
      });
    const { failure, isLost } = await begun.ended;
    // The client asks again, and gets the rest from the gateway that owns the answer now.
    if (isLost === true) return waiting.giveUp();
    if (failure === undefined) return;
    if (!client.isBegun) throw failure;
    waiting.breakOff(failure);
  }

  /** The client of a stream that this gateway begins. */
  #streaming(asked: Asked, kept: KeptRequest, { client, render, notes, signal }: Recipient): Waiting {
    let stream: DialectStream | undefined;
    let isOver = false;
    return {
      open: (id, continuation) => {
        stream = this.#stream(id, kept, { client, render }, continuation, {
          ...waitingExtras(this.#deps, asked, { notes }),
          ...numbered(render, new EventIds(id, -1)),
        });
        return stream.reply;
      },
      get isGone() {
        return client.isGone || signal.aborted;
      },
      end: () => {
        // Before the last byte, after which the log line is written.
        notes.streamed(stream?.reply.bytes ?? 0, stream?.reply.usage);
        stream?.client.end();
        isOver = true;
      },
      giveUp: () => {
        if (!isOver) client.giveUp();
      },
      breakOff: (failure) => {
        notes.broken(failure);
        notes.streamed(stream?.reply.bytes ?? 0, stream?.reply.usage);
        stream?.breakOff(failure);
      },
    };
  }

  /** The client of an answer in one piece that this gateway begins. */
  #gathering(kept: KeptRequest, { client, render, notes, signal }: Recipient): Waiting {
    const { clock } = this.#deps;
    const reply = wholeReply(kept);
    const askedAt = clock();
    return {
      open: () => reply,
      get isGone() {
        return client.isGone || signal.aborted;
      },
      end: () => {
        notes.phases.firstByteAt = clock();
        notes.whole(reply.usage);
        if (!client.isGone) client.send(rendered(render, reply, kept, clock() - askedAt));
      },
      giveUp: () => {
        if (!client.isBegun) client.giveUp();
      },
      breakOff: (failure) => notes.broken(failure),
    };
  }

  /** Ends an answer. @returns its state, which stays as it is if it was over @throws Failure `answer_not_found` */
  async cancel({ model, id }: DurableRef): Promise<FinalState> {
    const { store, ends } = this.#deps;
    const record = await store.read(model, id).catch(unread);
    if (record === undefined) throw new Failure('answer_not_found', 'the answer is over, and no longer kept');
    const before = await ends.cancel(id, record.asked).catch(unread);
    if (before === '') throw new Failure('answer_not_found', 'the answer is over, and no longer kept');
    return before === 'queued' || before === 'running' ? 'cancelled' : before;
  }

  /**
   * Gives a request the answer that an earlier one with its key began.
   * @param lastEventId id of the last event that the client has
   * @param tell gets the headers that each client of the answer gets
   * @throws Failure `idempotency_spent` if it is no longer kept, `invalid_request` for another answer's event
   */
  async attach(
    { model, id }: DurableRef,
    lastEventId: string | undefined,
    reader: Reader,
    tell: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<void> {
    const { store } = this.#deps;
    const record = await store.read(model, id).catch(unread);
    const kept = record?.asked;
    if (record === undefined || kept?.post === undefined)
      throw new Failure(
        'idempotency_spent',
        'the request with this key was answered, and its answer is no longer kept',
      );
    const after = eventAfter(lastEventId, id, kept.post.stream && reader.render.numbersEvents === true);
    tell(kept.post.headers);
    const leave = this.#readers.begin(model, id);
    try {
      await store.show(model, id).catch(unread);
      if (kept.post.stream) await this.#streamAgain({ id, record }, after, reader);
      else await this.#giveAgain({ id, record }, reader);
    } finally {
      leave();
    }
  }

  async #giveAgain({ id, record }: Found, reader: Reader): Promise<void> {
    const { client, render } = reader;
    const { clock } = this.#deps;
    const { asked: kept } = record;
    const askedAt = clock();
    const reply = wholeReply(kept);
    await this.#follow({ id, record }, new LogReplay(kept.path, reply, clock), reader);
    client.send(rendered(render, reply, kept, clock() - askedAt));
  }

  async #streamAgain({ id, record }: Found, after: number, reader: Reader): Promise<void> {
    const { client, render, signal } = reader;
    const { clock, keepAliveMs, slowClientBytes } = this.#deps;
    const ids = new EventIds(id, after);
    const { asked: kept } = record;
    const limits = { keepAliveMs, slowClientBytes, clock };
    const stream = this.#stream(id, kept, { client, render }, READER, { ...limits, ...numbered(render, ids) });
    try {
      await this.#follow({ id, record }, new LogReplay(kept.path, stream.reply, clock), reader);
      if (ids.highest < after && !client.isBegun)
        throw new Failure('invalid_request', 'the stream has no event with this last-event-id', {
          param: 'last-event-id',
        });
      if (!client.isBegun) client.write('');
      stream.client.end();
    } catch (error) {
      if (signal.aborted) return;
      if (!client.isBegun) throw error;
      stream.breakOff(toFailure(error));
    } finally {
      stream.reply.close();
    }
  }

  /** @throws Failure of an answer that is not complete */
  async #follow({ id, record }: Found, replay: LogReplay, { client, signal }: Reader): Promise<void> {
    const { model } = record.asked;
    const { state } = await followLog(this.#deps, { model, id }, replay, signal).catch((cause: unknown) => {
      if (!isFailure(cause) || cause.code !== 'answer_not_found') throw cause;
      if (client.isBegun) throw new Failure('worker_lost', 'Redis lost the answer', { cause });
      throw new Failure('idempotency_conflict', 'the first request with this key did not run; try again', { cause });
    });
    if (state !== 'failed' && state !== 'cancelled') return;
    const ended = (await this.#deps.store.read(model, id).catch(unread)) ?? record;
    throw failureOf({ ...ended, state });
  }

  #stream(
    id: string,
    kept: KeptRequest,
    { client, render }: Omit<Reader, 'signal'>,
    continuation: Pick<Continuation, 'add' | 'decide' | 'release'>,
    extras: Omit<ConstructorParameters<typeof DialectStream>[4], 'identity' | 'isFixed'>,
  ): DialectStream {
    const facts = { ...kept, passUsage: kept.post?.passUsage ?? false };
    const identity = () => madeIdentity(kept, id, kept.created);
    return new DialectStream(client, render, facts, continuation, { ...extras, identity, isFixed: true });
  }
}

function wholeReply({ path, choices, messagesParam }: KeptRequest): WholeReply {
  return new WholeReply(engineAnswer(path, choices), messagesParam);
}

function rendered(render: Renderers, reply: WholeReply, { serviceTier, post }: KeptRequest, modelMs: number): Rendered {
  const form = post?.form;
  const body = withServiceTier(reply.body, serviceTier);
  return render.renderAnswer(body, { modelMs, ...(form === undefined ? {} : { form }) });
}

function numbered(render: Renderers, ids: EventIds): { readonly number?: (events: Buffer | string) => string } {
  return render.numbersEvents === true ? { number: (events) => ids.pass(events) } : {};
}

function unread(cause: unknown): never {
  throw new Failure('queue_unavailable', 'Redis does not give kept answers at the moment; try again', { cause });
}
