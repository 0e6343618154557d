import type { Clock } from '#runtime/clock';
import type { AnswerStore } from './answer-store.ts';
import type { KeptRequest } from './record.ts';
import { endOf, type StoredForm } from './stored-form.ts';

/** A cancellation that Redis lost when it failed over is repeated if it is younger than this, in ms. */
const REMEMBERED_MS = 30_000;

interface RecentCancelsDeps {
  readonly store: Pick<AnswerStore, 'cancel'>;
  readonly form: StoredForm;
  readonly clock: Clock;
}

/** Cancellations of answers that this gateway owned. A cancelled answer stays cancelled when Redis fails over. */
export class RecentCancels {
  readonly #deps: RecentCancelsDeps;
  readonly #recent = new Map<string, { readonly kept: KeptRequest; readonly at: number }>();

  constructor(deps: RecentCancelsDeps) {
    this.#deps = deps;
  }

  add(id: string, kept: KeptRequest): void {
    this.#forgetOld();
    this.#recent.set(id, { kept, at: this.#deps.clock() });
  }

  /** Cancels again what is not cancelled. @param onError the next connection to Redis tries again */
  repeat(onError: (id: string, cause: unknown) => void): void {
    const { store, form } = this.#deps;
    this.#forgetOld();
    for (const [id, { kept }] of this.#recent)
      store.cancel(id, kept, endOf(form, id, kept, 'cancelled')).catch((cause: unknown) => onError(id, cause));
  }

  #forgetOld(): void {
    const since = this.#deps.clock() - REMEMBERED_MS;
    for (const [id, { at }] of this.#recent) if (at < since) this.#recent.delete(id);
  }
}
