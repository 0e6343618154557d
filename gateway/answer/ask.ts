import type { Token } from '#contract/job';
import type { Booked } from '#contract/usage';
import type { Tracing } from '#runtime/tracing';
import { Failure, rowOf, toFailure } from '../failure.ts';
import type { Seen } from '../relay/exchange.ts';
import type { Relay } from '../relay/relay.ts';
import type { Phases } from './notes.ts';
import type { Question } from './question.ts';
import type { Reply } from './reply.ts';
import { Suspect, type Suspects } from './suspects.ts';
import { Waiting, type WaitingDeps } from './waiting.ts';

/** How long an engine with a complete answer may keep its connection and client open, in milliseconds. */
const CLOSE_MS = 1_000;
const UNHEARD = new Failure('worker_lost', 'the answer, or its worker, was lost');
const STILL_OPEN = new Failure('worker_lost', 'the model process did not close its answer');

export interface AskDeps extends WaitingDeps {
  readonly relay: Pick<Relay, 'open' | 'reopen' | 'fail' | 'close' | 'hears'>;
  readonly idleMs: number;
  readonly onRepeat: () => void;
  readonly suspects: Suspects;
  /** records how requests wait; absent: nothing is recorded */
  readonly tracing?: Tracing | undefined;
}
/** A request that was admitted before, by another gateway. */
export interface Admitted {
  readonly epoch: number;
  /** an attempt of this epoch was cleared to start */
  readonly isClaimed: boolean;
}
export type Ask = (
  question: Question,
  reply: Reply,
  phases: Phases,
  signal: AbortSignal,
  admitted?: Admitted,
) => Promise<void>;

/**
 * Takes one request from admission to its end, and owns its repeats. An attempt that was lost before the client had a
 * byte runs again on another engine. It removes what remains in Redis.
 * @throws Failure of admission, of the last attempt, `no_engine`, or `client_closed` when `signal` fired
 */
export function createAsk(deps: AskDeps): Ask {
  let count = 0;
  return (question, reply, phases, signal, admitted) => {
    count += 1;
    // A durable answer has its id already.
    if (phases.requestId === '') phases.requestId = `${deps.replica}-${count}`;
    return new Attempts(deps, question, reply, phases, signal).run(admitted);
  };
}

/** The attempts of one request. The last one gives its answer. */
class Attempts {
  readonly #deps: AskDeps;
  readonly #suspect: Suspect;
  readonly #waiting: Waiting;
  readonly #question: Question;
  readonly #reply: Reply;
  readonly #phases: Phases;
  readonly #signal: AbortSignal;
  /** runs once the client has the end mark */
  #closing: NodeJS.Timeout | undefined;
  #settle: (failure?: Failure) => void = () => {};
  /** the attempt that was cleared to start last */
  #token: Token | undefined;

  constructor(deps: AskDeps, question: Question, reply: Reply, phases: Phases, signal: AbortSignal) {
    this.#deps = deps;
    this.#suspect = new Suspect(deps.suspects, question);
    this.#waiting = new Waiting(deps, question, phases, {
      placed: (waitMs) => {
        phases.estimateMs = waitMs;
        reply.placed?.();
      },
      refused: (failure) => this.#settle(failure),
      unheard: () => deps.relay.fail(phases.requestId, UNHEARD),
    });
    this.#question = question;
    this.#reply = reply;
    this.#phases = phases;
    this.#signal = signal;
  }

  async run(admitted: Admitted | undefined): Promise<void> {
    const { relay, suspects, clock, idleMs } = this.#deps;
    const { requestId } = this.#phases;
    if (admitted === undefined) suspects.quarantine.check(this.#question.body);
    const settled = new Promise<void>((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    const hangUp = (): void => this.#settle(toFailure(this.#signal.reason));
    this.#signal.addEventListener('abort', hangUp, { once: true });
    if (this.#signal.aborted) hangUp();
    // Opened before the job is added, because its first frame may arrive before the queue's own answer.
    relay.open({
      requestId,
      model: this.#question.model,
      path: this.#question.path,
      idleMs,
      deadlineAt: this.#question.deadlineAt,
      onClaimed: () => {
        this.#phases.claimedAt ??= clock();
        this.#waiting.claimed();
      },
      onTaken: (engine, token, span) => {
        this.#token = token;
        this.#phases.trace?.taken(span);
        this.#suspect.taken(engine);
      },
      onHead: (head) => this.#reply.head(head),
      onData: (chunk) => {
        const broken = this.#reply.data(chunk);
        if (broken !== undefined) relay.fail(requestId, broken);
        else if (this.#reply.isWhole === true)
          this.#closing ??= setTimeout(() => relay.fail(requestId, STILL_OPEN), CLOSE_MS);
      },
      onOver: (failure) => this.#over(failure),
      onGone: (seen) => this.#bookLost(seen),
    });
    this.#phases.enqueuedAt = clock();
    if (admitted === undefined) {
      this.#phases.trace?.waits(1, this.#phases.enqueuedAt);
      this.#waiting.begin();
    } else this.#waiting.goOn(admitted);
    try {
      await settled;
      this.#suspect.answered();
    } catch (error) {
      this.#phases.trace?.left(toFailure(error).code);
      throw error;
    } finally {
      clearTimeout(this.#closing);
      this.#signal.removeEventListener('abort', hangUp);
      const left = relay.close(requestId);
      if (left !== undefined) this.#phases.leftAfter = left.tokens;
      this.#waiting.leave();
      this.#suspect.leave();
    }
  }

  /** The attempt of this epoch is over. */
  #over(said: Failure | undefined): void {
    try {
      const failure = said ?? this.#reply.end();
      if (failure === undefined || this.#reply.isWhole === true) this.#settle();
      else this.#lost(failure).catch(() => this.#settle(failure));
    } catch (cause) {
      // Nothing else would end the request.
      this.#settle(toFailure(cause));
    }
  }

  async #lost(failure: Failure): Promise<void> {
    const mayRepeat = this.#mayRepeat(failure);
    if (!mayRepeat && failure.options.engineDied !== true) return this.#settle(failure);
    const original = await this.#waiting.readBody();
    const verdict = await this.#suspect.lost(failure, original);
    if (verdict === undefined && mayRepeat) await this.#resume(failure, original);
    else this.#settle(verdict ?? failure);
  }

  async #resume(failure: Failure, original: Buffer | undefined): Promise<void> {
    const resume = original === undefined ? undefined : await this.#reply.resume(original);
    if (resume === undefined || resume.kind === 'impossible' || !this.#mayRepeat(failure)) this.#settle(failure);
    else if (resume.kind === 'whole') this.#settle();
    else this.#repeat(resume.body, resume.delivered);
  }

  /**
   * Begins the next epoch.
   * @param body the engine's request of its attempts
   * @param delivered tokens of the answer that it holds; absent if the lost attempt gave the client nothing
   */
  #repeat(body: Buffer, delivered: number | undefined): void {
    const { relay, onRepeat, usage } = this.#deps;
    const { requestId } = this.#phases;
    const booked = this.#booked;
    if (delivered === undefined && this.#token !== undefined && booked !== undefined)
      usage.repeated(booked, this.#token);
    this.#token = undefined;
    this.#question.body.hold(body);
    this.#phases.repeats += 1;
    onRepeat();
    const epoch = relay.reopen(requestId);
    this.#phases.trace?.waits(epoch, this.#deps.clock());
    this.#waiting.repeat(epoch, delivered ?? 0, this.#signal);
  }

  #bookLost({ token, ageMs, tokens }: Seen): void {
    const booked = this.#booked;
    if (booked !== undefined) this.#deps.usage.lost(booked, { token, slotMs: ageMs, tokens });
  }

  get #booked(): Booked | undefined {
    const { imageTokens, keyId, model, deadlineMs } = this.#question;
    if (imageTokens === undefined) return undefined;
    const usage = this.#deps.usage.forJob(keyId, imageTokens, 0);
    return { requestId: this.#phases.requestId, model, deadlineMs, usage };
  }

  /** A request of a silent engine is repeated like one of an engine that died. */
  #mayRepeat({ code, options }: Failure): boolean {
    const most = rowOf(code).repeats ?? (options.elsewhere === true ? 1 : 0);
    return this.#phases.repeats < most && this.#deps.clock() < this.#question.deadlineAt && !this.#signal.aborted;
  }
}
