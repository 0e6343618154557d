import { compareLives, logPlace } from '#contract/answer-log';
import type { Control } from '#contract/control';
import type { Frame } from '#contract/frame';
import { loggedEntry } from '#contract/logged-entry';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { Failure } from '../failure.ts';
import { Exchange, type OpenRequest, type Seen } from '../relay/exchange.ts';
import type { AnswerStore, Owned, Written } from './answer-store.ts';
import type { LogEntry } from './log-entries.ts';
import type { LogStore } from './log-store.ts';

const TICK_MS = 250;
const LOST = new Failure('worker_lost', 'parts of the answer were lost');
/** A dispatcher that the registry lacks for this long is gone, in ms: after an outage of Redis it reports within 1 s. */
const MISSING_MS = 2_500;

export interface OwnerRelayDeps {
  readonly store: Pick<AnswerStore, 'read' | 'fence' | 'stop'> & { readonly logs: Pick<LogStore, 'entries'> };
  /** a dispatcher reported within the last seconds */
  readonly isAlive: (dispatcher: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** If no entry of a running attempt comes in this time, in ms, its copy may be lost: the log is read. Later looks are rarer. */
const LOOK_MS = 1_000;
const LOOK_LONGEST_MS = 8_000;

/** How far an owner has taken the log of an answer. */
export interface Progress {
  /** id of the last entry */
  last: string;
}

interface Expected {
  readonly owned: Owned;
  readonly epoch: number;
  readonly progress: Progress;
  /** Repeats a write that Redis refuses. @throws what Redis says, if it refuses it for too long */
  readonly insist: (write: () => Promise<Written>) => Promise<Written>;
}

interface OpenAnswer extends Omit<Expected, 'epoch'> {
  readonly exchange: Exchange;
  /** why the attempt ends, once the rest of its entries is taken */
  ending: { readonly failure: Failure } | undefined;
  /** when its last entry was taken or looked for, and how long after that the log is read, in ms */
  heardAt: number;
  lookAfterMs: number;
  /** the log is being read; further entries are read from there too */
  isReading: boolean;
  readAgain: boolean;
}

/**
 * The owner's side of durable answers, in the place of `Relay`: hands each its frames in the order of its log. The log is
 * the truth: what the owner's stream lacks is read from it. An answer that another gateway owns is dropped, and nothing is stopped.
 */
export class OwnerRelay {
  readonly #deps: OwnerRelayDeps;
  readonly #expected = new Map<string, Expected>();
  readonly #open = new Map<string, OpenAnswer>();
  /** since when dispatchers of open answers are missing in the registry, and write nothing */
  readonly #missing = new Map<string, number>();
  readonly #ticking: NodeJS.Timeout;

  constructor(deps: OwnerRelayDeps) {
    this.#deps = deps;
    this.#ticking = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#ticking);
  }

  /** What the log has is never lost. */
  readonly hears = true;

  /** Announces an answer before its request is opened. `progress` follows what is taken of its log. */
  expect(expected: Expected): void {
    this.#expected.set(expected.owned.id, expected);
  }

  open(request: OpenRequest): void {
    const { requestId } = request;
    const expected = this.#expected.get(requestId);
    if (expected === undefined) throw new Error('an answer that was not announced');
    this.#expected.delete(requestId);
    const { epoch, ...known } = expected;
    const idle = { ending: undefined, isReading: false, readAgain: false, lookAfterMs: LOOK_MS };
    this.#open.set(requestId, {
      ...known,
      exchange: new Exchange(request, epoch),
      heardAt: this.#deps.clock(),
      ...idle,
    });
  }

  /** The seam is in the log. @returns the next epoch */
  reopen(requestId: string): number {
    const open = this.#open.get(requestId);
    if (open === undefined) throw new Error('not an open request');
    open.ending = undefined;
    return open.exchange.reopen();
  }

  fail(requestId: string, failure: Failure): void {
    const open = this.#open.get(requestId);
    if (open !== undefined) this.#fail(open, failure);
  }

  /** Forgets an answer and stops its attempt, if this gateway still owns it. */
  close(requestId: string): Seen | undefined {
    const open = this.#open.get(requestId);
    this.#open.delete(requestId);
    if (open === undefined) return undefined;
    this.#stop(open);
    return open.exchange.seen(this.#deps.clock());
  }

  /** It is over, perhaps before it was opened. */
  forget(requestId: string): void {
    this.#expected.delete(requestId);
  }

  /** Another gateway owns it now: nothing is stopped. */
  drop(requestId: string): void {
    this.#open.delete(requestId);
  }

  /** An entry of a log arrived as a frame of the type `logged`. @param model of the stream that had it */
  takeCopy(model: string, frame: Frame, dispatcher: string): void {
    try {
      this.take({ model, id: frame.requestId }, loggedEntry(frame), dispatcher);
    } catch (cause) {
      // The log has it.
      this.#deps.log.error({ cause, requestId: frame.requestId }, 'a copy of a log could not be read');
    }
  }

  /** An entry arrived. */
  take({ model, id }: Pick<Owned, 'model' | 'id'>, entry: Pick<LogEntry, 'id' | 'frames'>, dispatcher: string): void {
    const open = this.#open.get(id);
    // Each stream is one model's: a worker of another model has no say in this answer.
    if (open === undefined || open.owned.model !== model) return;
    // It writes before it reports again.
    this.#missing.delete(dispatcher);
    const follows = this.#follows(open, entry.id);
    if (open.isReading) open.readAgain = true;
    else if (follows === 'lost') this.#end(open, LOST);
    else if (follows === 'gap') this.#read(open);
    else this.#add(open, entry, dispatcher);
  }

  /** Reads what the log has more than was taken. */
  catchUp(requestId?: string): void {
    for (const [id, open] of this.#open) if (requestId === undefined || id === requestId) this.#read(open);
  }

  #read(open: OpenAnswer): void {
    if (open.isReading) {
      open.readAgain = true;
      return;
    }
    open.isReading = true;
    open.readAgain = false;
    const { id } = open.owned;
    void this.#takeLog(open)
      .catch((cause: unknown) => {
        this.#deps.log.warn({ cause, requestId: id }, 'the log of a durable answer was not read');
        open.readAgain = true;
      })
      .finally(() => {
        open.isReading = false;
        if (open.readAgain) setTimeout(() => this.#open.get(id) === open && this.#read(open), TICK_MS).unref();
      });
  }

  /** Takes what the log has now. @throws while Redis is away */
  async #takeLog(open: OpenAnswer): Promise<void> {
    const { store } = this.#deps;
    const { model, id } = open.owned;
    const read = [store.read(model, id), store.logs.entries(model, id, open.progress.last)] as const;
    const [record, entries] = await Promise.all(read);
    for (const entry of entries) {
      const follows = this.#follows(open, entry.id);
      if (follows === 'lost' || (follows === 'gap' && entry.frames.length > 0)) return this.#end(open, LOST);
      this.#add(open, entry, record?.dispatcher ?? '');
    }
  }

  /**
   * @returns `old`: it was taken; `gap`: entries are missing before it; `lost`: Redis failed over, and has another attempt
   * in the place of the one that was taken
   */
  #follows({ progress: { last } }: OpenAnswer, id: string): 'next' | 'old' | 'gap' | 'lost' {
    const [before, place] = [logPlace(last), logPlace(id)];
    if (before === undefined || place === undefined) return 'old';
    if (compareLives(place, before) === 0) {
      if (place.n <= before.n) return 'old';
      return place.n === before.n + 1 ? 'next' : 'gap';
    }
    const isSameEpoch = place.epoch === before.epoch && before.attempt > 0;
    if (isSameEpoch && before.n > 0 && place.attempt >= before.attempt) return 'lost';
    if (isSameEpoch && place.attempt === before.attempt && place.n > 0) return 'lost';
    if (compareLives(place, before) < 0 && !(isSameEpoch && place.attempt === before.attempt)) return 'old';
    return place.n === 0 ? 'next' : 'gap';
  }

  #add(open: OpenAnswer, entry: { readonly id: string; readonly frames: readonly Frame[] }, dispatcher: string): void {
    // What is not taken does not count: no seam may follow it. A dropped answer is another gateway's, and so is its client.
    if (this.#open.get(open.owned.id) !== open || open.exchange.isOver || this.#follows(open, entry.id) === 'old')
      return;
    if (logPlace(entry.id)?.epoch === open.exchange.epoch + 1) {
      // The fence of a former owner: its attempt was lost, and can write nothing more.
      if (open.ending === undefined) this.#end(open, LOST);
      return;
    }
    open.progress.last = entry.id;
    [open.heardAt, open.lookAfterMs] = [this.#deps.clock(), LOOK_MS];
    for (const frame of entry.frames) {
      try {
        const now = this.#deps.clock();
        open.exchange.take(dispatcher, frame, now);
      } catch (cause) {
        const { id } = open.owned;
        this.#deps.log.error({ cause, requestId: id, type: frame.type }, 'a frame could not be processed');
        this.#end(open, new Failure('worker_lost', 'a part of the answer could not be read'));
      }
    }
  }

  /** Ends an attempt that may still write. Readers get what it wrote, so that is taken first; the attempt can add nothing. */
  #fail(open: OpenAnswer, failure: Failure): void {
    if (open.ending !== undefined || open.exchange.isOver) return;
    const ending = { failure };
    open.ending = ending;
    this.#stop(open);
    const { owned, exchange, progress, insist } = open;
    const fence = async (): Promise<Written> => {
      const written = await this.#deps.store.fence(owned, exchange.epoch + 1, progress.last);
      if (written === true) await this.#takeLog(open);
      return written;
    };
    void insist(fence)
      .catch((cause: unknown) => this.#deps.log.warn({ cause, requestId: owned.id }, 'a lost attempt was not fenced'))
      .finally(() => {
        if (open.ending === ending && this.#open.get(owned.id) === open) exchange.end(failure);
      });
  }

  #end(open: OpenAnswer, failure: Failure): void {
    this.#stop(open);
    open.exchange.end(failure);
  }

  #stop({ owned, exchange }: OpenAnswer): void {
    const { accepted } = exchange;
    if (accepted === undefined) return;
    const message: Control = { type: 'cancel', requestId: owned.id, ...accepted.token };
    this.#deps.store.stop(owned, accepted.dispatcher, JSON.stringify(message)).catch(() => {});
  }

  /** For how long the registry has not had this dispatcher. */
  #missingMs(dispatcher: string, now: number): number {
    if (this.#deps.isAlive(dispatcher)) {
      this.#missing.delete(dispatcher);
      return 0;
    }
    const since = this.#missing.get(dispatcher) ?? now;
    this.#missing.set(dispatcher, since);
    return now - since;
  }

  #tick(): void {
    const now = this.#deps.clock();
    if (this.#open.size === 0) this.#missing.clear();
    for (const open of this.#open.values()) {
      const { request, accepted } = open.exchange;
      if (now >= request.deadlineAt)
        this.#end(open, new Failure('deadline_exceeded', 'the answer was not complete within the time allowed'));
      else if (open.ending !== undefined) continue;
      else if (open.exchange.silenceMs(now) > request.idleMs)
        this.#fail(open, new Failure('engine_silent', `the model process was silent for ${request.idleMs} ms`));
      else if (accepted !== undefined && !open.isReading && this.#missingMs(accepted.dispatcher, now) > MISSING_MS) {
        const seen = open.exchange.seen(now);
        if (seen !== undefined) request.onGone(seen);
        this.#fail(open, new Failure('worker_lost', 'the worker that held this request is gone'));
      } else if (accepted !== undefined && now - open.heardAt > open.lookAfterMs) {
        open.heardAt = now;
        open.lookAfterMs = Math.min(2 * open.lookAfterMs, LOOK_LONGEST_MS);
        this.#read(open);
      }
    }
  }
}
