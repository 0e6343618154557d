import { compareLives, FIRST_ENTRY, logPlace } from '#contract/answer-log';
import type { EnginePath } from '#contract/job';
import type { Clock } from '#runtime/clock';
import type { Continuation } from '../answer/continuation.ts';
import type { LoggedReply } from '../answer/reply.ts';
import { Failure } from '../failure.ts';
import { Exchange, type OpenRequest } from '../relay/exchange.ts';
import { readNote, type LogEntry } from './log-entries.ts';
import type { LogEnd } from './record.ts';

/** Readers decide nothing. */
export const READER: Pick<Continuation, 'add' | 'decide' | 'release'> = {
  add: () => {},
  release: () => {},
  decide: () => Promise.resolve({ kind: 'impossible', reason: 'reader' }),
};

/**
 * Writes an answer again from its log. It takes the entries that count, in order. Events, numbers and ids depend on log and record alone, so all readers of an answer
 * get the same bytes. How an epoch follows the one before is in the log too: nothing is decided here.
 */
export class LogReplay {
  #exchange: Exchange;
  readonly #path: EnginePath;
  readonly #reply: LoggedReply;
  #isComplete = false;
  readonly #clock: Clock;
  #end: LogEnd | undefined;
  #last = FIRST_ENTRY;
  #epoch = 1;

  constructor(path: EnginePath, reply: LoggedReply, clock: Clock) {
    this.#path = path;
    this.#reply = reply;
    this.#clock = clock;
    this.#exchange = this.#open();
  }

  /** id of the last entry that was taken */
  get last(): string {
    return this.#last;
  }
  /** the epoch that the last seam began */
  get epoch(): number {
    return this.#epoch;
  }
  /** how the answer ended; undefined while it is open. A reader with all events need not wait for the owner's note of the end. */
  get end(): LogEnd | undefined {
    return this.#end ?? (this.#isComplete || this.#reply.isWhole === true ? { state: 'completed' } : undefined);
  }

  /** @throws Failure `worker_lost` if entries before it are missing @throws Error for one that cannot be read */
  take(entry: LogEntry): void {
    const note = entry.note === undefined ? undefined : readNote(entry.note);
    const isRestart = note !== undefined && 'kind' in note && note.kind === 'restart';
    const isLoss = entry.frames.length > 0 ? !follows(this.#last, entry.id) : this.#isAhead(entry);
    // What begins again was shown to no reader, unless Redis lost the note that this one has it.
    if (isLoss || (isRestart && this.#reply.hasData))
      throw new Failure('worker_lost', 'Redis lost a part of the kept answer');
    this.#last = entry.id;
    for (const frame of entry.frames) this.#exchange.take('', frame, this.#clock());
    if (note === undefined) return;
    if ('state' in note) this.#end = note;
    else if (note.kind === 'restart') {
      this.#epoch = logPlace(entry.id)?.epoch ?? 1;
      this.#exchange = this.#open();
    } else {
      this.#epoch = this.#exchange.reopen();
      this.#reply.follow(note);
      this.#isComplete = note.kind === 'close';
    }
  }

  /** After a fail-over of Redis: it took entries that are not in the log any more. */
  #isAhead({ after }: LogEntry): boolean {
    return after !== undefined && this.#last !== FIRST_ENTRY && after !== this.#last;
  }

  #open(): Exchange {
    const reply = this.#reply;
    const request: OpenRequest = {
      requestId: '',
      model: '',
      path: this.#path,
      idleMs: Infinity,
      deadlineAt: Infinity,
      onClaimed: () => {},
      onTaken: () => {},
      onHead: (head) => reply.head(head),
      // What is wrong with it is the owner's to judge.
      onData: (chunk) => void reply.data(chunk),
      onOver: (failure) => {
        this.#isComplete = failure === undefined && reply.end() === undefined;
      },
      onGone: () => {},
    };
    return new Exchange(request, this.#epoch);
  }
}

/** Whether the entry is the next one of its attempt, or the first one of another. */
function follows(last: string, id: string): boolean {
  const [before, place] = [logPlace(last), logPlace(id)];
  if (place === undefined) return true;
  const isSameLife = before !== undefined && compareLives(before, place) === 0;
  if (place.n > 0) return isSameLife && place.n === before.n + 1;
  // Only an attempt that delivered nothing has another one after it in its epoch.
  return before === undefined || isSameLife || before.epoch !== place.epoch || before.n === 0;
}

/** Waits for the end of an answer, and reads nothing of it. */
export class EndWatch {
  last = '0-0';
  end: LogEnd | undefined;

  take({ id, note }: LogEntry): void {
    this.last = id;
    const read = note === undefined ? undefined : readNote(note);
    if (read !== undefined && 'state' in read) this.end = read;
  }
}
