import type { AnswerState } from '#contract/answer-log';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { AnswerStore } from './answer-store.ts';
import type { Items } from './items.ts';
import type { KeptRequest } from './record.ts';
import { endOf, type StoredForm } from './stored-form.ts';

/** What Redis lost when it failed over is done again if it is younger than this, in ms. */
const REMEMBERED_MS = 30_000;
/** How long after a reconnection, in ms: the owner may be another gateway that writes the record again later. */
const AGAIN_AFTER_MS = [0, 1_000, 2_000, 4_000, 8_000];

interface LastingEndsDeps {
  readonly store: Pick<AnswerStore, 'cancel' | 'remove'>;
  readonly items: Pick<Items, 'drop'>;
  readonly form: StoredForm;
  readonly clock: Clock;
  readonly log: Log;
}

interface End {
  readonly kept: KeptRequest;
  readonly at: number;
  /** items of an answer that is removed; undefined: it is cancelled */
  readonly removed?: readonly string[];
}

/** Cancels and removes answers. What it did lately lasts, also if Redis fails over and lacks it. */
export class LastingEnds {
  readonly #deps: LastingEndsDeps;
  readonly #recent = new Map<string, End>();

  constructor(deps: LastingEndsDeps) {
    this.#deps = deps;
  }

  /** @returns the state before; empty: the answer is gone @throws while Redis is away */
  async cancel(id: string, kept: KeptRequest): Promise<AnswerState | ''> {
    const before = await this.#cancel(id, kept);
    if (before !== '' && before !== 'completed' && before !== 'incomplete' && before !== 'failed') this.note(id, kept);
    return before;
  }

  /** It was cancelled, perhaps at another gateway. */
  note(id: string, kept: KeptRequest): void {
    if (this.#recent.get(id)?.removed === undefined) this.#remember(id, { kept, at: this.#deps.clock() });
  }

  /** Cancels and removes an answer. @param removed the items of it @throws while Redis is away; it is tried again later */
  async remove(id: string, kept: KeptRequest, removed: readonly string[] = []): Promise<void> {
    this.#remember(id, { kept, at: this.#deps.clock(), removed });
    await this.#remove(id, kept, removed);
  }

  /** Removes an answer whose caller does not get its id: its end is no event. @throws as `remove` */
  discard(id: string, kept: KeptRequest): Promise<void> {
    const { webhook, ...quiet } = kept;
    return this.remove(id, webhook === undefined ? kept : quiet);
  }

  /** Redis may have failed over, and lack the latest. */
  repeat(): void {
    for (const afterMs of AGAIN_AFTER_MS) setTimeout(() => this.#again(), afterMs).unref();
  }

  #again(): void {
    this.#forgetOld();
    for (const [id, { kept, removed }] of this.#recent)
      (removed === undefined ? this.#cancel(id, kept) : this.#remove(id, kept, removed)).catch((cause: unknown) =>
        this.#deps.log.debug({ cause, requestId: id }, 'a durable answer was not ended again'),
      );
  }

  #cancel(id: string, kept: KeptRequest): Promise<AnswerState | ''> {
    const { store, form } = this.#deps;
    return store.cancel(id, kept, endOf(form, id, kept, 'cancelled'));
  }

  async #remove(id: string, kept: KeptRequest, items: readonly string[]): Promise<void> {
    await this.#cancel(id, kept);
    await this.#deps.items.drop(kept, items);
    await this.#deps.store.remove(kept.model, id);
  }

  #remember(id: string, end: End): void {
    this.#forgetOld();
    this.#recent.set(id, end);
  }

  #forgetOld(): void {
    const since = this.#deps.clock() - REMEMBERED_MS;
    for (const [id, { at }] of this.#recent) if (at < since) this.#recent.delete(id);
  }
}
