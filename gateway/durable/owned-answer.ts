import { FIRST_ENTRY, seamId, type AnswerState } from '#contract/answer-log';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { createAsk, type Admitted, type Ask, type AskDeps } from '../answer/ask.ts';
import { Continuation, type ContinuationLimits } from '../answer/continuation.ts';
import { countTokensFor } from '../answer/count-tokens.ts';
import type { Phases } from '../answer/notes.ts';
import type { Asked } from '../answer/question.ts';
import type { LoggedReply, Reply } from '../answer/reply.ts';
import { Failure, toFailure } from '../failure.ts';
import type { Usage } from '../request/chat.ts';
import type { AnswerStore, Owned } from './answer-store.ts';
import type { Items } from './items.ts';
import { counted, isSeam, type LogEntry } from './log-entries.ts';
import { LogReplay } from './log-replay.ts';
import type { OwnerRelay, Progress } from './owner-relay.ts';
import { OwnerWrites } from './owner-writes.ts';
import { ownerView, type Audience, type OwnerView } from './owner-view.ts';
import type { AnswerRecord, KeptRequest, Seam } from './record.ts';
import { endOf, type StoredForm } from './stored-form.ts';

export interface OwnedDeps {
  readonly store: AnswerStore;
  readonly items: Items;
  readonly relay: OwnerRelay;
  readonly ask: Omit<AskDeps, 'relay'>;
  /** for requests that are not durable */
  readonly liveAsk: Ask;
  readonly continuation: ContinuationLimits;
  readonly form: StoredForm;
  readonly clock: Clock;
  readonly log: Log;
  readonly onContinued: (outcome: string) => void;
}

/** Where the answer stands when this gateway begins to own it. */
export interface Adopted {
  readonly record: AnswerRecord;
  readonly entries: readonly LogEntry[];
}

export interface Outcome {
  /** undefined: another gateway owns it, or its record is final already */
  readonly state?: AnswerState;
  readonly failure?: Failure;
  readonly usage?: Usage | undefined;
  /** another gateway goes on with it */
  readonly isLost?: true;
}

/** A request, and what is kept of it. `phases` has the id. */
export interface OwnedRequest {
  readonly asked: Asked;
  readonly kept: KeptRequest;
  readonly phases: Phases;
  /** the client that waits for it here */
  readonly audience?: Audience;
  /** Writes again which answer the caller's idempotency key has. */
  readonly point?: () => Promise<void>;
  /** its caller gets its id, once it is in the queue; absent: yes */
  readonly isTold?: () => Promise<boolean>;
}

/** One answer that this gateway owns: it runs the attempts, writes the seams between them, and the end. */
export class OwnedAnswer {
  readonly owned: Owned;
  readonly writes: OwnerWrites;
  /** settles when this gateway has nothing more to do with it; never rejects */
  over: Promise<unknown> = Promise.resolve();
  readonly #deps: OwnedDeps;
  readonly #asked: Asked;
  readonly #kept: KeptRequest;
  readonly #leave = new AbortController();
  readonly #request: OwnedRequest;
  readonly #progress: Progress = { last: FIRST_ENTRY };
  #view: OwnerView;
  #isPlaced = false;
  #isCancelled = false;
  /** its request is in the queue, or was, and its caller gets its id. The end may be here before the queue's own answer. */
  #isTold = Promise.resolve(false);

  constructor(deps: OwnedDeps, owned: Owned, request: OwnedRequest) {
    this.owned = owned;
    this.#deps = deps;
    this.#request = request;
    this.#asked = request.asked;
    this.#kept = request.kept;
    const { question, input } = request.asked;
    const again = { deadlineAt: question.deadlineAt, input, point: request.point };
    this.writes = new OwnerWrites(deps, owned, request.kept, again);
    this.#view = this.#begin();
  }

  get isHeard(): boolean {
    return this.#request.audience?.isGone === false;
  }
  get #isBackground(): boolean {
    return this.#kept.shown['background'] === true;
  }
  /** Its request is in the queue, or was. */
  get isPlaced(): boolean {
    return this.#isPlaced;
  }
  get kept(): KeptRequest {
    return this.#kept;
  }

  /** Another gateway owns it: this one writes nothing more, and stops nothing. */
  lose(why: Failure): void {
    this.writes.isLost = true;
    this.#deps.relay.drop(this.owned.id);
    this.#leave.abort(why);
  }

  /** Its record says so already. */
  cancel(why: Failure): void {
    this.#isCancelled = true;
    this.#leave.abort(why);
  }

  /** Redis may have failed over, and lack the latest of this answer: writes it again. */
  async restore(): Promise<void> {
    // What is not in the queue yet fails, and leaves nothing.
    if (!this.#isPlaced || (await this.writes.restore())) return;
    this.#deps.relay.fail(this.owned.id, new Failure('worker_lost', 'Redis lost a part of the answer'));
  }

  /** Runs until the answer is over or lost. @param onPlaced its request is in the queue */
  async run(onPlaced: () => void, adopted?: Adopted): Promise<Outcome> {
    const { relay, clock, ask: deps } = this.#deps;
    const [{ id }, { question }, { phases }] = [this.owned, this.#asked, this.#request];
    this.#isTold = Promise.resolve(adopted !== undefined);
    this.#isPlaced = adopted !== undefined;
    const replay = new LogReplay(question.path, this.#view.reply, clock);
    const entries = counted(adopted?.entries ?? []);
    // What came after the last seam is taken like news.
    for (const entry of entries.slice(0, entries.findLastIndex((one) => isSeam(one)) + 1)) replay.take(entry);
    const isClaimed = adopted?.record.token?.startsWith(`${replay.epoch}-`) === true;
    const admitted: Admitted | undefined = adopted === undefined ? undefined : { epoch: replay.epoch, isClaimed };
    this.#progress.last = replay.last;
    relay.expect({ owned: this.owned, epoch: replay.epoch, progress: this.#progress, insist: this.writes.insist });
    // Only a background answer waits for an engine until its deadline: no client waits for it.
    const holdMs = this.#isBackground ? Infinity : deps.holdMs;
    const ask = createAsk({ ...deps, holdMs, relay, admission: this.#admission });
    try {
      if (replay.end !== undefined) return await this.#complete();
      const running = ask(question, this.#owner(replay.epoch, onPlaced), phases, this.#leave.signal, admitted);
      if (adopted !== undefined) relay.catchUp(id);
      await running;
      return await this.#complete();
    } catch (error) {
      const failure = toFailure(error);
      if (this.writes.isLost) return { failure, isLost: true };
      if (this.#isCancelled) return { failure };
      const ended = await this.#end('failed', endOf(this.#deps.form, id, this.#kept, 'failed', failure));
      return { ...(ended === 'behind' ? {} : ended), failure };
    } finally {
      relay.forget(id);
      this.#view.reply.close();
    }
  }

  async #complete(): Promise<Outcome> {
    this.#request.audience?.end();
    const whole = this.#view.whole();
    if (whole === undefined) throw new Error(`an answer of ${this.owned.model} without its last event`);
    await this.writes.insist(() => this.#deps.items.keepWords(this.owned.id, this.#kept, whole.json));
    const ended = await this.#end(whole.state, whole.json, this.#view.reply.usage);
    if (ended === 'behind') throw new Failure('worker_lost', 'Redis lost a part of the answer');
    return ended;
  }

  /** The answer from its start. */
  #begin(): OwnerView {
    const { continuation, liveAsk, onContinued } = this.#deps;
    const count = countTokensFor(this.#asked.question, liveAsk, this.#leave.signal);
    const goingOn = new Continuation(this.#asked, continuation, count, onContinued);
    return ownerView(this.owned.id, this.#kept, goingOn, { ...this.#deps, audience: this.#request.audience });
  }

  /** Before a further epoch may write, the log says how it follows. */
  #owner(epoch: number, onPlaced: () => void): Reply {
    let last = epoch;
    const write = async (seam: Seam): Promise<boolean> => {
      if (!(await this.writes.seam(last, seam, this.#progress.last))) return false;
      this.#progress.last = seamId(last);
      return true;
    };
    const view = (): LoggedReply => this.#view.reply;
    return {
      placed: () => {
        // It may wait for hours, so from now on Redis alone holds it.
        if (this.#isBackground) this.#asked.question.body.release();
        this.#isPlaced = true;
        onPlaced();
      },
      head: (head) => view().head(head),
      data: (chunk) => view().data(chunk),
      end: () => view().end(),
      get isWhole() {
        return view().isWhole === true;
      },
      resume: async (original) => {
        last += 1;
        // No engine can continue it, but while no reader has any of it, it can begin again.
        if (view().hasData && this.#asked.never !== undefined && (await write({ kind: 'restart' }))) {
          view().close();
          this.#view = this.#begin();
          return { kind: 'ask', body: original };
        }
        const next = await view().resume(original);
        if (next.kind === 'impossible' || next.seam === undefined) return next;
        return (await write(next.seam)) ? next : { kind: 'impossible' };
      },
    };
  }

  /** The end of an answer removes its body; only an owner removes its job. */
  get #admission(): AskDeps['admission'] {
    const { store, ask } = this.#deps;
    const { admission } = ask;
    const isOurs = async (): Promise<boolean> =>
      this.#isCancelled || (!this.writes.isLost && (await store.renew(this.owned.model, [this.owned])).length === 0);
    return {
      enqueue: (candidate) => {
        const added = admission.enqueue(candidate);
        this.#isTold = added.then(
          () => this.#request.isTold?.() ?? true,
          () => false,
        );
        return added;
      },
      repeat: (candidate, epoch) => admission.repeat(candidate, epoch),
      reconcile: (candidate, epoch) => admission.reconcile(candidate, epoch),
      readBody: (candidate) => admission.readBody(candidate),
      claimed: (candidate) => admission.claimed(candidate),
      finished: () => {},
      withdraw: async (candidate, epoch) => {
        if (await isOurs().catch(() => false)) await admission.withdraw(candidate, epoch);
      },
    };
  }

  /** @returns `behind`: the log lacks a part of the complete answer */
  async #end(state: AnswerState, json: string, usage?: Usage): Promise<Outcome | 'behind'> {
    const last = state === 'failed' ? '0-0' : this.#progress.last;
    const written = await this.writes.end({ state, json, isTold: await this.#isTold, last });
    if (written === 'behind') return written;
    // Its client comes again, and finds the owner, or how it ended.
    if (!written) return { usage, isLost: true };
    return { state, usage };
  }
}
