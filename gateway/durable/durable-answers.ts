import type { AnswerState } from '#contract/answer-log';
import { Failure, toFailure } from '../failure.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import { keptTrace } from '../answer/request-trace.ts';
import { newAnswerId } from './answer-id.ts';
import { adoptedRequest } from './adopted-request.ts';
import type { Owned } from './answer-store.ts';
import { Grace } from './grace.ts';
import type { LastingEnds } from './lasting-ends.ts';
import { Leases } from './leases.ts';
import { OwnedAnswer, type Adopted, type OwnedDeps, type OwnedRequest, type Outcome } from './owned-answer.ts';
import { RecentEnds } from './recent-ends.ts';
import { WHY, type StoreLimits } from './store-limits.ts';
import { endOf } from './stored-form.ts';

const RENEW_MS = 5_000;
const ADOPT_MS = 500;
/** How often streams without a reader are looked for, in ms. */
const LOOK_MS = 500;

export interface DurableDeps extends OwnedDeps {
  readonly ends: LastingEnds;
  readonly registry: Pick<WorkerRegistry, 'workers'>;
  /** texts that a model's engine reads as control tokens */
  readonly specialTokens: (model: string) => RegExp;
  readonly models: readonly string[];
  readonly storeLimits: StoreLimits;
  /** bytes of the log of one attempt */
  readonly logBytes: number;
  readonly onEnd: (state: AnswerState) => void;
  readonly onAdopted: () => void;
}

/** A durable answer that this gateway began. */
export interface Begun {
  readonly id: string;
  /** settles when this gateway has nothing more to do with it */
  readonly ended: Promise<Outcome>;
}

/**
 * The durable answers that this gateway owns. It renews their leases. If a gateway is gone, another adopts its answers, and
 * goes on from their logs.
 */
export class DurableAnswers {
  readonly #deps: DurableDeps;
  readonly #owned = new Map<string, OwnedAnswer>();
  readonly #graces = new Map<string, Grace>();
  /** models whose last adoption had no reply */
  readonly #unsure = new Set<string>();
  /** how often Redis may have failed over */
  #restores = 0;
  readonly #recent: RecentEnds;
  readonly leases: Leases;
  /** answers that were adopted, and do not go on yet */
  readonly #adopting = new Map<string, Owned>();
  /** answers that are being created */
  readonly #begun = new Set<string>();
  #isAdopting = false;
  readonly #timers: NodeJS.Timeout[] = [];
  #isStopped = false;
  #isClosed = false;

  constructor(deps: DurableDeps) {
    this.#deps = deps;
    this.#recent = new RecentEnds(deps.clock);
    this.leases = new Leases({
      ...deps,
      owned: this.#owned,
      adopted: this.#adopting,
      adopt: () => void this.#adoptOnce(),
    });
  }

  start(): void {
    this.#timers.push(setInterval(() => void this.leases.renewAll().catch(() => {}), RENEW_MS).unref());
    this.#timers.push(setInterval(() => void this.#adoptOnce(), ADOPT_MS).unref());
    this.#timers.push(setInterval(() => this.look(), LOOK_MS).unref());
  }

  /** bytes of the log of one attempt */
  get logBytes(): number {
    return this.#deps.logBytes;
  }

  /** It has given everything up. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Every dispatcher of the model writes logs, and this gateway takes new answers. */
  isOffered(model: string): boolean {
    const { workers } = this.#deps.registry;
    return (
      !this.#isStopped &&
      workers.every(({ engines, durable }) => durable === true || engines.every((one) => one.model !== model))
    );
  }

  /**
   * Begins an answer that outlives its connection. Its request is in the queue when this returns.
   * @param request its `phases` get its id, and the instants of its stages
   * @param onCreated its record exists, and nothing else of it
   * @throws Failure of its admission, `queue_full`, `queue_unavailable`
   */
  async begin(request: OwnedRequest, onCreated?: (id: string) => Promise<void>): Promise<Begun> {
    if (this.#isStopped) throw new Failure('shutting_down', 'this gateway is stopping; try again');
    const id = newAnswerId(request.kept.post === undefined ? 'resp' : 'post', request.kept.model);
    this.#begun.add(id);
    try {
      return await this.#create(id, request, onCreated);
    } finally {
      this.#begun.delete(id);
    }
  }

  async #create(id: string, request: OwnedRequest, onCreated?: (id: string) => Promise<void>): Promise<Begun> {
    const { kept, phases, asked } = request;
    const { store, storeLimits, ends, clock } = this.#deps;
    const restores = this.#restores;
    const leftMs = asked.question.deadlineAt - clock();
    const owned = await store.create(id, kept, storeLimits, leftMs).catch(async (cause: unknown) => {
      // It may be there.
      await store.remove(kept.model, id).catch(() => {});
      throw new Failure('queue_unavailable', 'the answer could not be stored; try again', { cause });
    });
    if (typeof owned === 'string') throw new Failure('queue_full', WHY[owned], { refusal: 'gateway_busy' });
    phases.requestId = id;
    try {
      await onCreated?.(id);
      const point = onCreated === undefined ? {} : { point: () => onCreated(id) };
      const { outcome } = await this.#placed(owned, { ...request, ...point });
      // If Redis is lost again, the next connection restores.
      if (restores !== this.#restores)
        await this.#owned
          .get(id)
          ?.restore()
          .catch(() => {});
      return { id, ended: outcome };
    } catch (cause) {
      await ends.discard(id, kept).catch(() => {});
      throw cause;
    }
  }

  /** Runs an answer. @returns its outcome, once its request is in the queue @throws Failure of its admission */
  async #placed(owned: Owned, request: OwnedRequest): Promise<{ readonly outcome: Promise<Outcome> }> {
    return new Promise((resolve, reject) => {
      const outcome = this.#run(owned, request, () => resolve({ outcome }));
      void outcome.then(({ failure }) => reject(failure ?? new Failure('internal', 'an answer without its request')));
    });
  }

  /** An answer was cancelled, at any gateway. */
  cancelled({ model, id }: Pick<Owned, 'model' | 'id'>): void {
    const own = this.#owned.get(id);
    if (own === undefined || own.owned.model !== model) return;
    own.cancel(new Failure('client_closed', 'the answer was cancelled'));
    this.#deps.ends.note(id, own.kept);
    this.#deps.onEnd('cancelled');
  }

  /** Redis may have failed over, and lack the latest: writes it again. */
  restore(): void {
    this.#restores += 1;
    // If Redis is lost again, the next connection restores.
    const failed = (requestId: string, cause: unknown): void =>
      this.#deps.log.warn({ cause, requestId }, 'a durable answer could not be written again');
    for (const [id, answer] of this.#owned) answer.restore().catch((cause: unknown) => failed(id, cause));
    this.#recent.repeat(failed);
    this.#deps.ends.repeat();
    for (const grace of this.#graces.values()) grace.wait();
  }

  /** Begins and adopts no more. Gives up what no client waits for here; other gateways go on in a moment. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#giveUp([...this.#owned.values()].filter(({ isHeard }) => !isHeard));
  }

  /** Gives everything up. */
  async close(): Promise<void> {
    [this.#isStopped, this.#isClosed] = [true, true];
    for (const timer of this.#timers) clearInterval(timer);
    await this.#giveUp([...this.#owned.values()]);
  }

  async #giveUp(answers: readonly OwnedAnswer[]): Promise<void> {
    for (const answer of answers) answer.lose(new Failure('shutting_down', 'another gateway goes on'));
    for (const model of this.#deps.models) {
      const owned = answers.map((answer) => answer.owned).filter((one) => one.model === model);
      if (owned.length > 0) await this.#deps.store.giveUp(model, owned);
    }
  }

  /** Looks for streams without a reader. */
  look(): void {
    for (const grace of this.#graces.values()) grace.look();
  }

  /** One look at a time. */
  async #adoptOnce(): Promise<void> {
    if (this.#isAdopting) return;
    this.#isAdopting = true;
    await this.#adopt().catch(() => {});
    this.#isAdopting = false;
  }

  async #adopt(): Promise<void> {
    for (const model of this.#deps.models) {
      if (this.#isStopped) return;
      const news = (await this.#adopted(model)).filter((owned) => {
        const own = this.#owned.get(owned.id);
        const known = own?.owned ?? this.#adopting.get(owned.id);
        if (known === undefined || own?.writes.isLost === true) return true;
        // This gateway, or Redis, paused for longer than the lease.
        known.n = owned.n;
        if (own !== undefined) this.#deps.relay.catchUp(owned.id);
        return false;
      });
      for (const owned of news) this.#adopting.set(owned.id, owned);
      for (const owned of news) {
        this.#deps.onAdopted();
        await this.#goOn(owned)
          .catch((cause: unknown) =>
            // Its lease lapses again, and the next look finds it.
            this.#deps.log.error({ cause, requestId: owned.id }, 'an adopted answer could not go on'),
          )
          .finally(() => this.#adopting.delete(owned.id));
      }
    }
  }

  /** Answers that this gateway owns from now on. If a reply of Redis was lost, also those that the reply named. */
  async #adopted(model: string): Promise<Owned[]> {
    const isUnsure = this.#unsure.has(model);
    this.#unsure.add(model);
    const adopted = await this.#deps.store.adopt(model, isUnsure);
    this.#unsure.delete(model);
    const isNews = ({ id, n }: Owned): boolean => !this.#begun.has(id) && this.#owned.get(id)?.owned.n !== n;
    return isUnsure ? adopted.filter(isNews) : adopted;
  }

  async #goOn(owned: Owned): Promise<void> {
    const { store, form, log, clock, specialTokens, logBytes } = this.#deps;
    const { model, id } = owned;
    // It was this gateway's before, and another's in between.
    await this.#owned.get(id)?.over;
    const record = await store.read(model, id);
    if (record === undefined) return;
    log.info({ requestId: id, keyId: record.key, epoch: record.epoch }, 'answer adopted');
    const { asked: kept, token } = record;
    const [entries, leftMs] = await Promise.all([store.logs.entries(model, id), store.leftMs(model, id, kept)]);
    // An attempt that has it goes on, and needs it no more.
    if (token === undefined && !(await store.hasBody(model, id))) {
      const failure = new Failure('body_lost', 'Redis lost the request while it waited; send it again');
      const answer = endOf(form, id, kept, 'failed', failure);
      if (await store.finish(owned, { state: 'failed' }, answer, kept, { isTold: true })) this.#deps.onEnd('failed');
      return;
    }
    const phases = { requestId: id, repeats: 0, ...keptTrace(this.#deps.ask.tracing, kept.trace) };
    const around = { deadlineAt: clock() + leftMs, specialTokens: specialTokens(model), logBytes };
    void this.#run(owned, { asked: adoptedRequest(kept, around), kept, phases }, () => {}, { record, entries });
  }

  async #run(owned: Owned, request: OwnedRequest, onPlaced: () => void, adopted?: Adopted): Promise<Outcome> {
    const { clock, log, onEnd, store, ends } = this.#deps;
    const { model, id } = owned;
    const { kept } = request;
    const answer = new OwnedAnswer(this.#deps, owned, request);
    this.#owned.set(id, answer);
    const graceMs = kept.post?.graceMs ?? null;
    if (graceMs !== null)
      this.#graces.set(
        id,
        new Grace(
          { store, clock, graceMs, isHeard: () => answer.isHeard, cancel: () => ends.cancel(id, kept) },
          { model, id },
          adopted !== undefined,
        ),
      );
    const beganAt = clock();
    const running = answer
      .run(onPlaced, adopted)
      .catch((cause: unknown) => ({ failure: toFailure(cause) }) satisfies Outcome as Outcome)
      .finally(() => {
        this.#owned.delete(id);
        this.#graces.delete(id);
      });
    answer.over = running;
    const outcome = await running;
    const { state, failure, usage } = outcome;
    if (state === undefined || !answer.isPlaced) return outcome;
    if (kept.post !== undefined) this.#recent.add(answer.writes);
    onEnd(state);
    const ms = Math.round(clock() - beganAt);
    log.info({ requestId: id, keyId: kept.keyId, model, state, failure: failure?.code, ...usage, ms }, 'answer over');
    return outcome;
  }
}
