import { Failure, isFailure, rowOf, toFailure } from '../failure.ts';
import type { Head } from '#contract/frame';
import type { EnginePath, Kind } from '#contract/job';
import type { Clock } from '#runtime/clock';
import type { Admission, Candidate } from '../queue/admission.ts';
import type { Share } from '../queue/reservations.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { HeldBody } from '../queue/held-body.ts';
import type { Phases } from './phases.ts';
import type { Relay } from '../relay/relay.ts';
import { Suspect, type Suspects } from './suspects.ts';

const HOLD_CHECK_MS = 250;
const RECONCILE_MS = 5_000;
/** Lives that end together do not come back together. */
const REPEAT_SPREAD_MS = 200;

/** An engine that said that its answer is whole may keep its connection, client and place so long, in milliseconds. */
const CLOSE_MS = 1_000;
const UNHEARD = new Failure('worker_lost', 'the answer, or its worker, was lost');
const STILL_OPEN = new Failure('worker_lost', 'the model process did not close its answer');

/** One checked request, ready for an engine. */
export interface Question {
  readonly model: string;
  readonly kind: Kind;
  /** the engine's route that the body is for */
  readonly path: EnginePath;
  readonly body: HeldBody;
  readonly keyId: string;
  /** the caller's part of the engines; absent where there are no keys */
  readonly share?: Share;
  /** from arrival to the end of the answer, in milliseconds, and the instant it ends (clock of this process) */
  readonly deadlineMs: number;
  readonly deadlineAt: number;
}

/** Where an answer goes. */
export interface Reply {
  head(head: Head): void;
  /** @returns what makes the rest of this attempt worthless */
  data(chunk: Buffer): Failure | undefined;
  /** The engine's last byte was given. @returns what is wrong with the answer; undefined when it is whole */
  end(): Failure | undefined;
  /** the client has all of it, its end included: no failure can come any more */
  readonly isWhole?: boolean;
  /**
   * The attempt was lost: how the answer can still become whole. It forgets what no client has seen.
   * @param original the engine's request of the attempt
   */
  resume(original: Buffer): Promise<Resume>;
}

export type Resume =
  /** the same request again, from the start */
  | { readonly kind: 'again' }
  /** another request, whose answer is the rest */
  | { readonly kind: 'continue'; readonly body: Buffer }
  /** nothing was missing but the end, which the client has by now */
  | { readonly kind: 'whole' }
  | { readonly kind: 'impossible'; readonly reason: string };

export interface AskDeps {
  readonly admission: Admission;
  readonly relay: Relay;
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly replica: string;
  readonly idleMs: number;
  /** how long a request waits while no engine of its model is ready, in milliseconds */
  readonly holdMs: number;
  readonly onEvicted: () => void;
  readonly onRepeat: () => void;
  readonly suspects: Suspects;
}
export type Ask = (question: Question, reply: Reply, phases: Phases, signal: AbortSignal) => Promise<void>;

/**
 * Takes one request from admission to its end, and owns its repeats: an attempt that was lost before the client had a
 * byte runs again on another engine. Whatever is left in Redis is removed.
 * @throws Failure of admission, of the last attempt, `no_engine`, or `client_closed` when `signal` fired
 */
export function createAsk(deps: AskDeps): Ask {
  let count = 0;
  return (question, reply, phases, signal) => {
    count += 1;
    phases.requestId = `${deps.replica}-${String(count)}`;
    return new Life(deps, question, reply, phases, signal).run();
  };
}

/** One request between admission and its end. */
class Life {
  readonly #deps: AskDeps;
  readonly #suspect: Suspect;
  readonly #question: Question;
  readonly #reply: Reply;
  readonly #phases: Phases;
  readonly #signal: AbortSignal;
  #epoch = 1;
  /** an attempt of this epoch was let go */
  #claimed = false;
  /** the job of this epoch was added, or will be known not to have been */
  #added: Promise<void> = Promise.resolve();
  #waitingSince: number;
  /** how its job was last found finished, or taken, without a claim; empty: it was not */
  #seenUnclaimed = '';
  /** runs once the client has the end mark */
  #closing: NodeJS.Timeout | undefined;
  #settle: (failure?: Failure) => void = () => {};

  constructor(deps: AskDeps, question: Question, reply: Reply, phases: Phases, signal: AbortSignal) {
    this.#deps = deps;
    this.#suspect = new Suspect(deps.suspects, question);
    this.#question = question;
    this.#reply = reply;
    this.#phases = phases;
    this.#signal = signal;
    this.#waitingSince = deps.clock();
  }

  async run(): Promise<void> {
    const { admission, relay } = this.#deps;
    const candidate = this.#candidate();
    const { requestId } = candidate.job;
    this.#deps.suspects.quarantine.check(candidate.body);
    const settled = new Promise<void>((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    const hangUp = (): void => this.#settle(new Failure('client_closed', 'the client closed the connection'));
    this.#signal.addEventListener('abort', hangUp, { once: true });
    if (this.#signal.aborted) hangUp();
    const holding = setInterval(() => this.#checkHold(), HOLD_CHECK_MS);
    const reconciling = setInterval(() => void this.#reconcile(), RECONCILE_MS);
    // Opened before the job is added, as its first frame may come before the queue's own answer.
    relay.open({
      requestId,
      idleMs: this.#deps.idleMs,
      deadlineAt: this.#question.deadlineAt,
      onClaimed: () => this.#onClaimed(candidate),
      onTaken: (engine) => this.#suspect.taken(engine),
      onHead: (head) => this.#reply.head(head),
      onData: (chunk) => {
        const broken = this.#reply.data(chunk);
        if (broken !== undefined) relay.fail(requestId, broken);
        else if (this.#reply.isWhole === true)
          this.#closing ??= setTimeout(() => relay.fail(requestId, STILL_OPEN), CLOSE_MS);
      },
      onOver: (failure) => this.#over(failure),
    });
    this.#phases.enqueuedAt = this.#waitingSince;
    this.#follow(admission.enqueue(candidate));
    try {
      await settled;
      this.#suspect.answered();
    } finally {
      clearInterval(holding);
      clearInterval(reconciling);
      clearTimeout(this.#closing);
      this.#signal.removeEventListener('abort', hangUp);
      relay.close(requestId);
      candidate.body.letGo();
      this.#suspect.leave();
      // An `add` may still be under way; what it adds after the end must go as well.
      if (this.#claimed) admission.finished(candidate);
      else
        this.#added.then(
          () => void admission.withdraw(candidate, this.#epoch),
          // A first add that was refused has cleaned up; a later life leaves the body of the former ones.
          () => {
            if (this.#epoch > 1) admission.finished(candidate);
          },
        );
    }
  }

  /** The attempt of this epoch is over. */
  #over(said: Failure | undefined): void {
    try {
      const failure = said ?? this.#reply.end();
      if (failure === undefined || this.#reply.isWhole === true) this.#settle();
      else this.#lost(failure).catch(() => this.#settle(failure));
    } catch (cause) {
      // Nobody else would end it.
      this.#settle(toFailure(cause));
    }
  }

  async #lost(failure: Failure): Promise<void> {
    const mayRepeat = this.#mayRepeat(failure);
    if (!mayRepeat && failure.options.engineDied !== true) return this.#settle(failure);
    const { pieces } = this.#question.body;
    const original =
      pieces === undefined ? await this.#deps.admission.readBody(this.#candidate()) : Buffer.concat(pieces);
    const verdict = await this.#suspect.lost(failure, original);
    if (verdict === undefined && mayRepeat) await this.#resume(failure, original);
    else this.#settle(verdict ?? failure);
  }

  async #resume(failure: Failure, original: Buffer | undefined): Promise<void> {
    const { body } = this.#question;
    const resume = original === undefined ? undefined : await this.#reply.resume(original);
    if (original === undefined || resume === undefined || resume.kind === 'impossible' || !this.#mayRepeat(failure))
      this.#settle(failure);
    else if (resume.kind === 'whole') this.#settle();
    else {
      body.hold(resume.kind === 'continue' ? resume.body : original);
      this.#repeat();
    }
  }

  #repeat(): void {
    const { relay, admission, clock, onRepeat } = this.#deps;
    this.#phases.repeats += 1;
    onRepeat();
    this.#claimed = false;
    this.#waitingSince = clock();
    const candidate = this.#candidate();
    this.#epoch = relay.reopen(candidate.job.requestId);
    const epoch = this.#epoch;
    const pause = new Promise((resolve) => setTimeout(resolve, Math.random() * REPEAT_SPREAD_MS));
    // What was accepted waits for Redis to come back, until its deadline: reconciliation adds it then.
    this.#follow(
      pause.then(async () => {
        this.#signal.throwIfAborted();
        await admission.repeat(candidate, epoch).catch(() => {});
      }),
    );
  }

  /** An engine that fell silent is as lost as one that died. */
  #mayRepeat({ code, options }: Failure): boolean {
    const most = rowOf(code).repeats ?? (options.elsewhere === true ? 1 : 0);
    return this.#phases.repeats < most && this.#deps.clock() < this.#question.deadlineAt && !this.#signal.aborted;
  }

  #follow(added: Promise<void>): void {
    this.#added = added;
    added.catch((error: unknown) => this.#settle(isFailure(error) ? error : toFailure(error)));
  }

  #onClaimed(candidate: Candidate): void {
    this.#claimed = true;
    this.#phases.claimedAt ??= this.#deps.clock();
    candidate.body.letGo();
    // In whichever life: one that was lost while it waited kept its place.
    this.#deps.admission.claimed(candidate);
  }

  /** Nobody is there to take it: a node may be starting, so it waits a while. */
  #checkHold(): void {
    const { registry, clock, holdMs, onEvicted } = this.#deps;
    const { model } = this.#question;
    if (this.#claimed || Math.min(registry.withoutEngineMs(model), clock() - this.#waitingSince) < holdMs) return;
    onEvicted();
    this.#settle(new Failure('no_engine', `no engine of ${model} is ready; one may be starting`));
  }

  /** A request that waits is still in the queue, or comes back to it. */
  async #reconcile(): Promise<void> {
    const epoch = this.#epoch;
    if (this.#claimed) return;
    try {
      await this.#added;
      const { admission, relay } = this.#deps;
      const found = await admission.reconcile(this.#candidate(), epoch);
      const seen = found !== 'waits' && relay.hears ? `${String(epoch)} ${found}` : '';
      // Twice, as a claim may be on its way here.
      if (seen !== '' && seen === this.#seenUnclaimed && !this.#claimed && this.#epoch === epoch)
        relay.fail(this.#phases.requestId, UNHEARD);
      this.#seenUnclaimed = seen;
    } catch {
      // Redis is away; the next turn asks again.
    }
  }

  #candidate(): Candidate {
    const { model, kind, path, deadlineMs, deadlineAt, keyId, share } = this.#question;
    const { replica, clock } = this.#deps;
    const job = { requestId: this.#phases.requestId, model, kind, deadlineMs, replica, path };
    const shared = share === undefined ? {} : { share };
    return { job, keyId, body: this.#question.body, ...shared, leftMs: deadlineAt - clock() };
  }
}
