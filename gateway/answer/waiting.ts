import { Failure, toFailure } from '../failure.ts';
import type { Clock } from '#runtime/clock';
import type { Admission, Candidate } from '../queue/admission.ts';
import type { Relay } from '../relay/relay.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Question } from './question.ts';

const HOLD_CHECK_MS = 250;
const RECONCILE_MS = 5_000;
/** Epochs that end together do not come back together. */
const REPEAT_SPREAD_MS = 200;

export interface WaitingDeps {
  readonly admission: Admission;
  readonly relay: Pick<Relay, 'hears'>;
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly replica: string;
  /** how long a request waits while no engine of its model is ready, in milliseconds */
  readonly holdMs: number;
  readonly onEvicted: () => void;
}

/** What becomes of a request that waits, besides a claim. */
export interface WaitingEvents {
  /** it waits in vain */
  readonly refused: (failure: Failure) => void;
  /** somebody took its job, or finished it, and said nothing */
  readonly unheard: () => void;
}

/**
 * One request in the queue, from its first job to the removal of its last: it is given up where no engine is there to
 * take it, and comes back to the queue where a restart of Redis, or somebody, lost its job or body.
 */
export class Waiting {
  readonly #deps: WaitingDeps;
  readonly #question: Question;
  readonly #requestId: string;
  readonly #events: WaitingEvents;
  #timers: readonly NodeJS.Timeout[] = [];
  #epoch = 1;
  #since = 0;
  /** an attempt of this epoch was cleared to start */
  #isClaimed = false;
  /** the job of this epoch was added, or will be known not to have been */
  #added: Promise<void> = Promise.resolve();
  /** how its job was last found finished, or taken, without a claim; empty: it was not */
  #seenUnclaimed = '';

  constructor(deps: WaitingDeps, question: Question, requestId: string, events: WaitingEvents) {
    this.#deps = deps;
    this.#question = question;
    this.#requestId = requestId;
    this.#events = events;
  }

  /** Asks for a place, and waits. */
  begin(): void {
    this.#since = this.#deps.clock();
    const holding = setInterval(() => this.#checkHold(), HOLD_CHECK_MS);
    const reconciling = setInterval(() => void this.#reconcile(), RECONCILE_MS);
    this.#timers = [holding, reconciling];
    this.#follow(this.#deps.admission.enqueue(this.#candidate()));
  }

  /** Waits again, after an attempt was lost: it keeps its right to run. @param signal its client has left */
  repeat(epoch: number, signal: AbortSignal): void {
    const { admission, clock } = this.#deps;
    this.#epoch = epoch;
    this.#since = clock();
    this.#isClaimed = false;
    const candidate = this.#candidate();
    const pause = new Promise((resolve) => setTimeout(resolve, Math.random() * REPEAT_SPREAD_MS));
    // What was accepted waits for Redis to come back, until its deadline: reconciliation adds it then.
    this.#follow(
      pause.then(async () => {
        signal.throwIfAborted();
        await admission.repeat(candidate, epoch).catch(() => {});
      }),
    );
  }

  claimed(): void {
    this.#isClaimed = true;
    this.#question.body.release();
    // In whichever epoch: one that was lost while it waited kept its place.
    this.#deps.admission.claimed(this.#candidate());
  }

  /**
   * The engine's request, which Redis alone has once it was claimed.
   * @returns undefined when it is lost @throws while Redis is away
   */
  async readBody(): Promise<Buffer | undefined> {
    const { pieces } = this.#question.body;
    return pieces === undefined ? this.#deps.admission.readBody(this.#candidate()) : Buffer.concat(pieces);
  }

  /** The request is over: what it has in Redis goes. */
  leave(): void {
    const { admission } = this.#deps;
    for (const timer of this.#timers) clearInterval(timer);
    this.#question.body.release();
    const candidate = this.#candidate();
    // An `add` may still be under way; what it adds after the end must go as well.
    if (this.#isClaimed) admission.finished(candidate);
    else
      this.#added.then(
        () => void admission.withdraw(candidate, this.#epoch),
        // A first add that was refused has cleaned up; a later epoch leaves the body of the former ones.
        () => {
          if (this.#epoch > 1) admission.finished(candidate);
        },
      );
  }

  #follow(added: Promise<void>): void {
    this.#added = added;
    added.catch((error: unknown) => this.#events.refused(toFailure(error)));
  }

  /** Nobody is there to take it: a node may be starting, so it waits a while. */
  #checkHold(): void {
    const { registry, clock, holdMs, onEvicted } = this.#deps;
    const { model } = this.#question;
    if (this.#isClaimed || Math.min(registry.withoutEngineMs(model), clock() - this.#since) < holdMs) return;
    onEvicted();
    this.#events.refused(new Failure('no_engine', `no engine of ${model} is ready; one may be starting`));
  }

  /** A request that waits is still in the queue, or comes back to it. */
  async #reconcile(): Promise<void> {
    const epoch = this.#epoch;
    if (this.#isClaimed) return;
    try {
      await this.#added;
      const { admission, relay } = this.#deps;
      const found = await admission.reconcile(this.#candidate(), epoch);
      const seen = found !== 'waits' && relay.hears ? `${epoch} ${found}` : '';
      // Twice, as a claim may be on its way here.
      if (seen !== '' && seen === this.#seenUnclaimed && !this.#isClaimed && this.#epoch === epoch)
        this.#events.unheard();
      this.#seenUnclaimed = seen;
    } catch {
      // Redis is away; the next turn asks again.
    }
  }

  #candidate(): Candidate {
    const { model, kind, path, body, deadlineMs, deadlineAt, keyId, share } = this.#question;
    const { replica, clock } = this.#deps;
    const job = { requestId: this.#requestId, model, kind, deadlineMs, replica, path };
    return { job, keyId, body, ...(share === undefined ? {} : { share }), leftMs: deadlineAt - clock() };
  }
}
