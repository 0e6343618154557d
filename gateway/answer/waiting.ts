import { Failure, toFailure } from '../failure.ts';
import { replyAddress } from '#contract/model-names';
import type { Clock } from '#runtime/clock';
import type { Admission, Candidate } from '../queue/admission.ts';
import type { Relay } from '../relay/relay.ts';
import type { UsageBook } from '../usage/usage-book.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Phases } from './notes.ts';
import type { Question } from './question.ts';
import { Ticks } from './ticks.ts';

/** How often a waiting request checks that an engine may still take it, in milliseconds. */
const TICK_MS = 250;
const ticks = new Ticks(TICK_MS);
const RECONCILE_MS = 5_000;
/** A request without an engine is tried again when one should be ready, but so late at most: SDKs obey no longer time. In ms. */
const [SOONEST_NEXT_MS, LATEST_NEXT_MS] = [1_000, 60_000];
/** Spreads the repeats of epochs that end together, in milliseconds. */
const REPEAT_SPREAD_MS = 200;

export interface WaitingDeps {
  readonly admission: Pick<
    Admission,
    'enqueue' | 'repeat' | 'reconcile' | 'readBody' | 'claimed' | 'finished' | 'withdraw'
  >;
  readonly relay: Pick<Relay, 'hears'>;
  readonly registry: WorkerRegistry;
  readonly usage: UsageBook;
  readonly clock: Clock;
  readonly replica: string;
  /** how long a request waits while no engine of its model is ready, in milliseconds */
  readonly holdMs: number;
  readonly onEvicted: () => void;
}

/** What can happen to a waiting request besides a claim. */
export interface WaitingEvents {
  /** it has a place in the queue. @param waitMs the estimated wait, if anything is known */
  readonly placed: (waitMs: number | undefined) => void;
  /** it waited in vain */
  readonly refused: (failure: Failure) => void;
  /** a dispatcher took or finished its job without a report */
  readonly unheard: () => void;
}

/**
 * One request in the queue, from its first job to the removal of its last. It gives up if no engine is ready to take
 * the request. It adds the job and body again if they were lost, for example by a restart of Redis.
 */
export class Waiting {
  readonly #deps: WaitingDeps;
  readonly #question: Question;
  readonly #requestId: string;
  readonly #trace: Phases['trace'];
  readonly #events: WaitingEvents;
  #epoch = 1;
  /** tokens of the answer that the prompt of this epoch holds */
  #delivered = 0;
  #since = 0;
  /** when its job is looked for next (clock of this process) */
  #reconcileAt = 0;
  /** an attempt of this epoch was cleared to start */
  #isClaimed = false;
  /** settles when the job of this epoch was added, or was refused */
  #added: Promise<void> = Promise.resolve();
  /** ends the request at its deadline, if that is near */
  #ending: NodeJS.Timeout | undefined;
  /** how its job was last found finished or taken without a claim; empty: it was not */
  #seenUnclaimed = '';

  constructor(
    deps: WaitingDeps,
    question: Question,
    { requestId, trace }: Pick<Phases, 'requestId' | 'trace'>,
    events: WaitingEvents,
  ) {
    this.#deps = deps;
    this.#question = question;
    this.#requestId = requestId;
    this.#trace = trace;
    this.#events = events;
  }

  /** Requests a reservation, and waits. */
  begin(): void {
    this.#wait();
    this.#follow(this.#deps.admission.enqueue(this.#candidate()).then((waitMs) => this.#events.placed(waitMs)));
  }

  /** Goes on for another gateway: the job is in the queue, or an attempt has it. */
  goOn({ epoch, isClaimed }: { readonly epoch: number; readonly isClaimed: boolean }): void {
    this.#epoch = epoch;
    this.#isClaimed = isClaimed;
    if (!isClaimed) this.#wait();
  }

  /**
   * Waits again after a lost attempt; its admission stays valid.
   * @param delivered tokens of the answer that the prompt holds
   * @param signal fires when its client has left
   */
  repeat(epoch: number, delivered: number, signal: AbortSignal): void {
    const { admission } = this.#deps;
    this.#epoch = epoch;
    this.#delivered = delivered;
    this.#isClaimed = false;
    this.#wait();
    const candidate = this.#candidate();
    const pause = new Promise((resolve) => setTimeout(resolve, Math.random() * REPEAT_SPREAD_MS));
    // An accepted request waits until its deadline for Redis to return: reconciliation adds it then.
    this.#follow(
      pause.then(async () => {
        signal.throwIfAborted();
        await admission.repeat(candidate, epoch).catch(() => {});
      }),
    );
  }

  claimed(): void {
    this.#isClaimed = true;
    ticks.leave(this.#tick);
    this.#question.body.release();
    // In any epoch: a request that was lost while it waited kept its reservation.
    this.#deps.admission.claimed(this.#candidate());
  }

  /**
   * The engine's request, which is only in Redis after the claim.
   * @returns undefined if it is lost @throws while Redis is away
   */
  async readBody(): Promise<Buffer | undefined> {
    const { pieces } = this.#question.body;
    return pieces === undefined ? this.#deps.admission.readBody(this.#candidate()) : Buffer.concat(pieces);
  }

  /** The request is over: removes its data from Redis. */
  leave(): void {
    const { admission } = this.#deps;
    clearTimeout(this.#ending);
    ticks.leave(this.#tick);
    this.#question.body.release();
    const candidate = this.#candidate();
    // An `add` may still be running; a job that it adds after the end must be removed too.
    if (this.#isClaimed) admission.finished(candidate);
    else
      this.#added.then(
        () => void admission.withdraw(candidate, this.#epoch),
        // A refused first add has cleaned up; a later epoch leaves the body of the former ones.
        () => {
          if (this.#epoch > 1) admission.finished(candidate);
        },
      );
  }

  #wait(): void {
    this.#since = this.#deps.clock();
    this.#reconcileAt = this.#since + RECONCILE_MS;
    this.#checkDeadline(this.#since);
    ticks.join(this.#tick);
  }

  readonly #tick = (): void => {
    this.#checkHold();
    const now = this.#deps.clock();
    this.#checkDeadline(now);
    if (now < this.#reconcileAt) return;
    this.#reconcileAt = now + RECONCILE_MS;
    void this.#reconcile();
  };

  /** A deadline before the next look ends the request at that moment, so that no engine works for a client that left. */
  #checkDeadline(now: number): void {
    const leftMs = this.#question.deadlineAt - now;
    if (leftMs > TICK_MS) return;
    this.#ending ??= setTimeout(() => {
      if (!this.#isClaimed) this.#events.refused(new Failure('deadline_exceeded', 'the deadline passed in the queue'));
    }, leftMs);
  }

  #follow(added: Promise<void>): void {
    this.#added = added;
    added.catch((error: unknown) => this.#events.refused(toFailure(error)));
  }

  /** No engine is ready to take it. A node may be starting, so it waits for `holdMs`. */
  #checkHold(): void {
    const { registry, clock, holdMs, onEvicted } = this.#deps;
    const { model } = this.#question;
    if (this.#isClaimed || Math.min(registry.withoutEngineMs(model), clock() - this.#since) < holdMs) return;
    onEvicted();
    const readyInMs = registry.readyInMs(model);
    const next = readyInMs === undefined ? {} : { retryAfterMs: Math.min(LATEST_NEXT_MS, readyInMs + SOONEST_NEXT_MS) };
    this.#events.refused(new Failure('no_engine', `no engine of ${model} is ready; one may be starting`, next));
  }

  /** Checks that a waiting request is still in the queue; otherwise it is added again. */
  async #reconcile(): Promise<void> {
    const epoch = this.#epoch;
    if (this.#isClaimed) return;
    try {
      await this.#added;
      const { admission, relay } = this.#deps;
      const found = await admission.reconcile(this.#candidate(), epoch);
      const seen = found !== 'waits' && relay.hears ? `${epoch} ${found}` : '';
      // Seen twice, because a claim may be on its way here.
      if (seen !== '' && seen === this.#seenUnclaimed && !this.#isClaimed && this.#epoch === epoch)
        this.#events.unheard();
      this.#seenUnclaimed = seen;
    } catch {
      // Redis is away; the next check asks again.
    }
  }

  #candidate(): Candidate {
    const { model, kind, path, body, deadlineMs, deadlineAt, keyId, share, isRetry, imageTokens } = this.#question;
    const { replica, clock, usage } = this.#deps;
    const used = imageTokens === undefined ? {} : { usage: usage.forJob(keyId, imageTokens, this.#delivered) };
    const durable = this.#question.logBytes === undefined ? {} : { durable: { logBytes: this.#question.logBytes } };
    const to = { replica: replyAddress(replica, model), path };
    const trace = this.#trace === undefined ? {} : { trace: this.#trace.job };
    const job = { requestId: this.#requestId, model, kind, deadlineMs, ...to, ...durable, ...used, ...trace };
    return { job, keyId, body, share, isRetry, leftMs: deadlineAt - clock() };
  }
}
