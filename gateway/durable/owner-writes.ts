import type { AnswerState } from '#contract/answer-log';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { Failure } from '../failure.ts';
import type { HeldBody } from '../queue/held-body.ts';
import type { AnswerStore, Owned, Written } from './answer-store.ts';
import { keptAgain, type KeptRequest, type Seam } from './record.ts';
import { endOf, type StoredForm } from './stored-form.ts';

/** A write that Redis refuses is tried again after this, in ms, so often. */
const PAUSE_MS = 1_000;
const TRIES = 60;
/** A log that lacks something is looked at so often: its dispatcher may write it again. */
const BEHIND_TRIES = 5;

export interface OwnerWritesDeps {
  readonly store: AnswerStore;
  readonly form: StoredForm;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a record that is written again depends on. */
export interface Again {
  /** monotonic ms */
  readonly deadlineAt: number;
  /** what the answer was asked, while this gateway has it */
  readonly input?: Pick<HeldBody, 'pieces'> | undefined;
  /** Writes again which answer the caller's idempotency key has. */
  readonly point?: (() => Promise<void>) | undefined;
}

/** How an answer ended. */
interface End {
  readonly state: AnswerState;
  /** the complete response, see `AnswerStore.finish` */
  readonly json: string;
  /** its caller knows its id */
  readonly isTold: boolean;
  /** an entry without which the log is not complete */
  readonly last: string;
}

/** What an owner writes of one answer, and writes again if Redis may have failed over, and lack it. */
export class OwnerWrites {
  readonly owned: Owned;
  readonly #deps: OwnerWritesDeps;
  readonly #kept: KeptRequest;
  readonly #again: Again;
  /** the last seam */
  #seam: { readonly epoch: number; readonly seam: Seam; readonly after: string } | undefined;
  #end: End | undefined;
  #restoring: Promise<unknown> = Promise.resolve();
  /** Another gateway owns the answer: nothing more is written. */
  isLost = false;

  constructor(deps: OwnerWritesDeps, owned: Owned, kept: KeptRequest, again: Again) {
    this.#deps = deps;
    this.owned = owned;
    this.#kept = kept;
    this.#again = again;
  }

  /** @returns whether it is in the log */
  async seam(epoch: number, seam: Seam, after: string): Promise<boolean> {
    if ((await this.insist(() => this.#deps.store.seam(this.owned, epoch, seam, after))) !== true) return false;
    this.#seam = { epoch, seam, after };
    return true;
  }

  /** @returns `behind`: the log lacks a part of the complete answer; false: it is another's, or was over */
  async end(end: End): Promise<Written> {
    const { state, json, isTold, last } = end;
    const [{ store, log }, kept] = [this.#deps, this.#kept];
    const written = await this.insist(() => store.finish(this.owned, { state }, json, kept, { isTold, last }));
    if (written !== true) return written;
    this.#end = end;
    await store.logs.archive(this.owned, kept, json, state !== 'failed').catch((cause: unknown) =>
      // It stays as it is, and needs more memory.
      log.debug({ cause, requestId: this.owned.id }, 'a kept answer was not packed'),
    );
    return true;
  }

  /** Writes again what Redis lacks. @returns false: a part of the answer is lost, and it is not over @throws if Redis is away */
  restore(): Promise<boolean> {
    const restored = this.#restore();
    this.#restoring = restored.catch(() => {});
    return restored;
  }

  async #restore(): Promise<boolean> {
    const [{ store, form, clock }, { id }] = [this.#deps, this.owned];
    const { deadlineAt, input, point } = this.#again;
    const kept = keptAgain(this.#kept, input?.pieces);
    const [isOurs, latest] = [await store.restore(this.owned, kept, deadlineAt - clock()), this.#seam];
    // If it is another's, the next renewal tells.
    if (!isOurs) return true;
    // If another request has the key by now, it keeps it.
    await point?.().catch(() => {});
    // A later seam follows what this one would.
    const again = async (): Promise<Written> =>
      latest === undefined || this.#seam !== latest
        ? true
        : store.seam(this.owned, latest.epoch, latest.seam, latest.after);
    const isWhole = (await this.insist(again)) === true;
    const end = this.#end;
    if (end === undefined || (isWhole && (await this.end(end)) === true)) return isWhole;
    const lost = new Failure('worker_lost', 'Redis lost a part of the answer');
    await this.end({ ...end, state: 'failed', json: endOf(form, id, this.#kept, 'failed', lost), last: '0-0' });
    return true;
  }

  /** An outage of Redis must not end an answer. @returns false: it is another's, or over */
  readonly insist = async (write: () => Promise<Written>): Promise<Written> => {
    let behind = 0;
    for (let triesLeft = TRIES; !this.isLost; triesLeft -= 1) {
      const [{ n }, restoring] = [this.owned, this.#restoring];
      try {
        const written = await write();
        if (written === true) return true;
        if (written === false) {
          // Redis failed over before the write, and has its record again now.
          if (restoring !== this.#restoring) {
            await this.#restoring;
            continue;
          }
          // After a pause this gateway may have adopted it, at this moment, or without the reply of Redis.
          this.owned.n = (await this.#deps.store.ownNumber(this.owned)) ?? this.owned.n;
          if (this.owned.n === n) return false;
          continue;
        }
        behind += 1;
        if (behind === BEHIND_TRIES) return written;
      } catch (cause) {
        if (triesLeft <= 1) throw cause;
        this.#deps.log.debug({ cause, requestId: this.owned.id }, 'a durable answer could not be written');
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    return false;
  };
}
