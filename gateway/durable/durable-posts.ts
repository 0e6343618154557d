import type { AnswerState } from '#contract/answer-log';
import type { Clock } from '#runtime/clock';
import type { DeliverDeps, Recipient } from '../answer/deliver.ts';
import type { Asked } from '../answer/question.ts';
import { Failure, isFailure, rowOf, toFailure } from '../failure.ts';
import type { DurableRef } from '../queue/idempotency.ts';
import type { AnswerStore } from './answer-store.ts';
import type { DurableAnswers } from './durable-answers.ts';
import { EventIds, eventAfter } from './event-ids.ts';
import { followLog } from './follow-log.ts';
import type { LastingEnds } from './lasting-ends.ts';
import { LogReplay, READER } from './log-replay.ts';
import type { LogTail } from './log-tail.ts';
import {
  gatheringAudience,
  numbered,
  postStream,
  rendered,
  streamingAudience,
  wholeReply,
  type WaitingClient,
} from './post-audience.ts';
import { ReaderNotes } from './reader-notes.ts';
import { failureOf, keptRequest, lifeOf, type AnswerRecord } from './record.ts';

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
    const kept = { ...keptRequest(asked, notes.phases, {}, idempotencyTtlMs), post };
    const waiting = stream
      ? streamingAudience(this.#deps, asked, kept, recipient)
      : gatheringAudience(kept, recipient, this.#deps.clock);
    signal.addEventListener('abort', () => answers.look());
    const request = { asked, kept, phases: notes.phases, audience: waiting };
    const begun = await answers
      .begin(request, (id) => key.point({ model, id }, lifeOf(kept)))
      .catch(async (cause: unknown) => {
        await key.release();
        throw cause;
      });
    const { failure, isLost } = await begun.ended;
    if (isLost === true) {
      // What another gateway's engines make of it counts as it was estimated.
      notes.phases.claimedAt ??= this.#deps.clock();
      return this.#readOn({ model, id: begun.id }, waiting, recipient);
    }
    if (failure === undefined) return;
    if (!client.isBegun) throw failure;
    waiting.breakOff(failure);
  }

  /** Another gateway owns the answer now: its client reads the log from here on, as others do. */
  async #readOn({ model, id }: DurableRef, waiting: WaitingClient, reader: Reader): Promise<void> {
    if (waiting.isOver) return;
    const { answers, store } = this.#deps;
    const after = waiting.leave();
    const record = answers.isClosed ? undefined : await store.read(model, id).catch(() => undefined);
    // It asks again, and gets the rest.
    if (after === undefined || record === undefined) return reader.client.giveUp();
    await this.#read({ id, record }, after, reader).catch((cause: unknown) => {
      if (!reader.client.isBegun) throw cause;
      reader.client.giveUp();
    });
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
    await this.#read({ id, record }, after, reader);
  }

  async #read({ id, record }: Found, after: number, reader: Reader): Promise<void> {
    const { model, post } = record.asked;
    const leave = this.#readers.begin(model, id);
    try {
      await this.#deps.store.show(model, id).catch(unread);
      if (post?.stream === true) await this.#streamAgain({ id, record }, after, reader);
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
    const stream = postStream(id, kept, { client, render }, READER, { ...limits, ...numbered(render, ids) });
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
}

function unread(cause: unknown): never {
  throw new Failure('queue_unavailable', 'Redis does not give kept answers at the moment; try again', { cause });
}
