import type { AnswerState } from '#contract/answer-log';
import type { Clock } from '#runtime/clock';
import { engineAnswer } from '../answer/engine/answer.ts';
import type { ClientStream } from '../answer/client-stream.ts';
import type { Notes } from '../answer/notes.ts';
import type { Asked } from '../answer/question.ts';
import { QueuedResponse } from '../answer/queued-response.ts';
import { StreamReply } from '../answer/stream-reply.ts';
import { TranslatedClient } from '../answer/translated.ts';
import { Failure, toFailure } from '../failure.ts';
import type { Allowance } from '../intake/body-memory.ts';
import type { Keeping, Stored } from '../request/chat.ts';
import { AfterNumber } from './after-number.ts';
import { likelyFirst } from './answer-id.ts';
import { factsOf, type AnswerFacts, type Found } from './answer-facts.ts';
import type { AnswerStore } from './answer-store.ts';
import type { ConversationStore } from './conversation-store.ts';
import type { Begun, DurableAnswers } from './durable-answers.ts';
import { Earlier } from './earlier.ts';
import { followLog } from './follow-log.ts';
import { inputItems, type Page } from './input-items.ts';
import { itemIds, type Items } from './items.ts';
import { EndWatch, LogReplay, READER } from './log-replay.ts';
import type { LastingEnds } from './lasting-ends.ts';
import type { LogTail } from './log-tail.ts';
import { RecentInputs } from './recent-inputs.ts';
import { identityOf, keptRequest, lifeOf, type KeptRequest, type LogEnd } from './record.ts';
import type { Replicas } from './replicas.ts';
import { endOf, type StoredForm } from './stored-form.ts';

/** How long an answer stays after its end if its caller did not ask to keep it, in ms: the caller fetches it in this time. */
const FETCHED_WITHIN_MS = 600_000;
const JSON_HEADERS = { 'content-type': 'application/json' };
export interface KeptDeps {
  readonly answers: DurableAnswers;
  readonly store: AnswerStore;
  readonly ends: LastingEnds;
  readonly conversations: ConversationStore;
  readonly items: Items;
  readonly tail: LogTail;
  readonly replicas: Pick<Replicas, 'present' | 'insist'>;
  readonly models: readonly string[];
  readonly form: StoredForm;
  readonly backgroundTimeoutMs: number;
  readonly storeTtlMs: number;
  /** an answer is stored if its caller does not say */
  readonly storeByDefault: boolean;
  /** a caller's key has a webhook now */
  readonly hasWebhook: (keyId: string) => boolean;
  readonly keepAliveMs: number;
  readonly slowClientBytes: number;
  readonly clock: Clock;
}

interface Recipient {
  readonly client: ClientStream;
  readonly notes: Notes;
  /** fires when the client is gone; its reason is a Failure */
  readonly signal: AbortSignal;
}

/** Which answers are listed. */
export interface ListFilter {
  readonly key?: string | undefined;
  readonly model?: string | undefined;
  readonly state?: AnswerState | undefined;
}

/** What the edge needs of them. */
export type Kept = Pick<KeptAnswers, keyof KeptAnswers>;

/** Kept answers as their callers use them: made, read, streamed again, cancelled, deleted. */
export class KeptAnswers {
  readonly #deps: KeptDeps;
  readonly #inputs = new RecentInputs();
  readonly earlier: Earlier;
  readonly items: Items;

  constructor(deps: KeptDeps) {
    this.#deps = deps;
    this.items = deps.items;
    this.earlier = new Earlier(deps.conversations, deps.items);
  }

  get backgroundTimeoutMs(): number {
    return this.#deps.backgroundTimeoutMs;
  }
  get logBytes(): number {
    return this.#deps.answers.logBytes;
  }

  /** How an answer is kept; undefined: it is not. */
  storedOf(keeping: Keeping | undefined): Stored | undefined {
    if (keeping === undefined) return undefined;
    const store = keeping.store ?? this.#deps.storeByDefault;
    return keeping.background || store ? { ...keeping, store } : undefined;
  }

  /**
   * Takes a checked request to its answer, which is kept. A background answer goes on when its client has left; another is
   * cancelled.
   * @throws Failure of admission, and of an answer that its client waits for without a stream
   */
  async answer(asked: Asked, stored: Stored, { client, notes, signal }: Recipient): Promise<void> {
    const { answers, conversations, form, clock, hasWebhook } = this.#deps;
    const { model, keyId } = asked.question;
    if (!answers.isOffered(model))
      throw new Failure('no_engine', `a worker of ${model} is too old to keep answers; try again after its upgrade`);
    const keptMs = stored.store ? this.#deps.storeTtlMs : FETCHED_WITHIN_MS;
    const hook = stored.background && hasWebhook(keyId) ? ({ webhook: true } as const) : {};
    const kept = { ...keptRequest(asked, notes.phases, { ...stored }, keptMs), ...hook };
    const confirmed = stored.background ? this.#confirmed(kept.model) : () => Promise.resolve();
    const isTold = (): Promise<boolean> =>
      confirmed().then(
        () => true,
        () => false,
      );
    const { id, ended } = await answers.begin({ asked, kept, isTold, phases: notes.phases }, async (made) => {
      const pieces = asked.input?.pieces;
      if (pieces !== undefined) await conversations.keepInput(model, made, pieces, lifeOf(kept)).catch(unstored);
    });
    if (asked.input !== undefined) this.#inputs.hold(asked.input);
    await confirmed().catch((cause: unknown) => this.#takeBack(id, kept, cause));
    if (stored.background && !asked.stream)
      client.send({ status: 200, headers: JSON_HEADERS, body: form.renderState(identityOf(id, kept), 'queued') });
    else await this.#attend({ id, ended }, kept, asked.stream, { client, signal });
    const { failure, usage, isLost } = await ended;
    if (usage !== undefined) notes.whole(usage);
    // What another gateway's engines make of it counts as it was estimated.
    if (isLost === true) notes.phases.claimedAt ??= clock();
    else if (failure !== undefined) notes.broken(failure);
  }

  /** @param keyId only an answer of this key; absent: of all keys @throws Failure `answer_not_found` */
  async find(id: string, keyId?: string): Promise<Found> {
    for (const model of likelyFirst(this.#deps.models, id)) {
      const record = await this.#deps.store.read(model, id, keyId).catch(unstored);
      // Streams of other routes are fetched by their idempotency keys.
      if (record !== undefined && (keyId === undefined || record.asked.post === undefined)) return { id, record };
    }
    const whose = keyId === undefined ? '' : ' for this key';
    throw new Failure('answer_not_found', `no answer ${JSON.stringify(id.slice(0, 100))} is kept${whose}`);
  }

  /** The response as JSON, as it is now. */
  read({ id, record }: Found): string {
    return record.answer ?? this.#deps.form.renderState(identityOf(id, record.asked), record.state);
  }

  /** What it was asked, see `inputItems`. */
  inputItems(found: Found, page: Page, memory: Allowance): Promise<readonly Buffer[]> {
    return inputItems(this.#deps.conversations, found, page, memory);
  }

  /**
   * Streams an answer from its start, or after an event, at any age.
   * @param after number of the last event that the client has; -1: none
   * @throws Failure `invalid_request` if there is no such event
   */
  async stream({ id, record }: Found, after: number, client: ClientStream, signal: AbortSignal): Promise<void> {
    const { asked } = record;
    const { form } = this.#deps;
    const from = new AfterNumber(after);
    const rest = new TranslatedClient(client, (events) => from.pass(events));
    const reply = this.#reply(id, asked, rest);
    try {
      await this.#deps.store.show(asked.model, id).catch(unstored);
      const replay = new LogReplay(asked.path, reply, this.#deps.clock);
      const end = await followLog(this.#deps, { model: asked.model, id }, replay, signal);
      await this.#close(id, asked, end, reply, rest);
      if (from.highest < after && !client.isBegun)
        throw new Failure(
          'invalid_request',
          `starting_after must be ${from.highest} or less, the number of the last event`,
          {
            param: 'starting_after',
          },
        );
      if (!client.isBegun) client.write('');
      client.end();
    } catch (error) {
      if (!client.isBegun) throw error;
      client.end(form.renderStreamFailure(toFailure(error), reply.passed));
    } finally {
      reply.close();
    }
  }

  /**
   * Cancels a background answer; one that is over stays as it is.
   * @returns the response as JSON @throws Failure `invalid_request` for another answer
   */
  async cancel(found: Found, keyId: string): Promise<string> {
    if (found.record.asked.shown['background'] !== true)
      throw new Failure('invalid_request', 'only an answer that was made with background: true can be cancelled');
    return (await this.stop(found)) ?? this.read(await this.find(found.id, keyId));
  }

  /** Cancels an answer of any kind. @returns the response as JSON; undefined: it was over already */
  async stop({ id, record }: Found): Promise<string | undefined> {
    const { ends, form } = this.#deps;
    const before = await ends.cancel(id, record.asked).catch(unstored);
    const isCancelled = before === 'queued' || before === 'running';
    return isCancelled ? endOf(form, id, record.asked, 'cancelled') : undefined;
  }

  /** The newest kept answers first, without their words. @throws Failure `queue_unavailable` */
  async list({ key, model, state }: ListFilter): Promise<AnswerFacts[]> {
    const models = this.#deps.models.filter((one) => model === undefined || one === model);
    const all = (await Promise.all(models.map((one) => this.#deps.store.list(one).catch(unstored)))).flat();
    return all
      .map((found) => factsOf(found))
      .filter((one) => (key === undefined || one.key === key) && (state === undefined || one.state === state))
      .toSorted((a, b) => b.created - a.created);
  }

  /** Cancels and removes an answer. */
  async remove({ id, record }: Found): Promise<void> {
    await this.#deps.ends.remove(id, record.asked, itemIds(record.answer ?? '')).catch(unstored);
  }

  /** Call it before the first write. @returns asks once; it throws if a fail-over of Redis could lose the answer */
  #confirmed(model: string): () => Promise<void> {
    const { replicas } = this.#deps;
    const since = replicas.present;
    let round: Promise<void> | undefined;
    return () => (round ??= replicas.insist(model, since));
  }

  /** Leaves nothing of an answer whose caller does not get its id, and no webhook event. @throws Failure `queue_unavailable` */
  async #takeBack(id: string, kept: KeptRequest, cause: unknown): Promise<never> {
    await this.#deps.ends.discard(id, kept).catch(() => {});
    throw new Failure('queue_unavailable', 'the answer could not be stored safely; try again', { cause });
  }

  /** Its client stays until the end. */
  async #attend(
    { id, ended }: Begun,
    kept: KeptRequest,
    isStream: boolean,
    recipient: Pick<Recipient, 'client' | 'signal'>,
  ): Promise<void> {
    const { client, signal } = recipient;
    const { model, keyId } = kept;
    try {
      if (isStream) return await this.stream(await this.find(id, keyId), -1, client, signal);
      await followLog(this.#deps, { model, id }, new EndWatch(), signal);
      const { state, failure } = await ended;
      if (state === 'failed' && failure !== undefined) throw failure;
      client.send({ status: 200, headers: JSON_HEADERS, body: this.read(await this.find(id, keyId)) });
    } catch (error) {
      if (signal.aborted && kept.shown['background'] !== true) await this.#deps.ends.cancel(id, kept).catch(() => {});
      if (!signal.aborted) throw error;
    }
  }

  #reply(id: string, kept: KeptRequest, client: ClientStream): StreamReply {
    const { model, path, choices, messagesParam } = kept;
    const { form, keepAliveMs, slowClientBytes, clock } = this.#deps;
    const queued = new QueuedResponse(form.queuedEvents, model, { requestId: id }, identityOf(id, kept));
    const reply = new StreamReply(client, {
      answer: engineAnswer(path, choices),
      messagesParam,
      passUsage: true,
      continuation: READER,
      queued,
      keepAliveMs,
      slowClientBytes,
      clock,
      onFirstByte: () => {},
    });
    reply.open();
    return reply;
  }

  /** Writes the last event of an answer that is not complete. */
  async #close(id: string, { model }: KeptRequest, { state }: LogEnd, reply: StreamReply, client: ClientStream) {
    if (state !== 'failed' && state !== 'cancelled') return;
    const record = await this.#deps.store.read(model, id).catch(unstored);
    if (record === undefined) throw new Failure('answer_not_found', 'the answer was deleted');
    const response: unknown = JSON.parse(this.read({ id, record }));
    const type = `response.${state}`;
    const event = { type, sequence_number: reply.passed, response };
    client.write(`event: ${type}\ndata: ${JSON.stringify(event)}\n\n`);
  }
}

/** @throws Failure `queue_unavailable` */
function unstored(cause: unknown): never {
  throw new Failure('queue_unavailable', 'Redis does not give or take kept answers at the moment; try again', {
    cause,
  });
}
