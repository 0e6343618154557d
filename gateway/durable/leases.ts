import { Failure } from '../failure.ts';
import type { AnswerStore, Owned } from './answer-store.ts';
import type { OwnedAnswer } from './owned-answer.ts';

/** How long an owner has to answer a question, in ms. */
const ANSWER_MS = 5_000;

export interface LeasesDeps {
  readonly store: Pick<AnswerStore, 'renew' | 'ownNumber' | 'question'>;
  readonly models: readonly string[];
  /** the answers that this gateway owns, by id */
  readonly owned: ReadonlyMap<string, OwnedAnswer>;
  /** those that it adopts at this moment */
  readonly adopted: ReadonlyMap<string, Owned>;
  /** Takes answers whose leases have lapsed. */
  readonly adopt: () => void;
}

/** Renews this gateway's leases of answers, and asks whether other owners are there. */
export class Leases {
  readonly #deps: LeasesDeps;

  constructor(deps: LeasesDeps) {
    this.#deps = deps;
  }

  async renewAll(): Promise<void> {
    const all = [...this.#deps.owned.values()].map(({ owned }) => owned);
    for (const model of this.#deps.models) {
      const owned = all.filter((one) => one.model === model).map((one) => ({ ...one }));
      if (owned.length > 0) await this.#renew(model, owned);
    }
  }

  /** A reader at another gateway asks whether this one is there. */
  async answer(id: string): Promise<void> {
    const owned = this.#deps.owned.get(id)?.owned ?? this.#deps.adopted.get(id);
    if (owned !== undefined) await this.#renew(owned.model, [{ ...owned }]);
  }

  /** Asks the owner of an answer whether it is there. If it does not answer, its lease lapses now. */
  ask(model: string, id: string): void {
    if (this.#deps.owned.has(id) || this.#deps.adopted.has(id)) return;
    const look = (isAsked: boolean): void => {
      if (isAsked) setTimeout(this.#deps.adopt, ANSWER_MS + 1).unref();
    };
    // A reader that hears nothing asks again.
    this.#deps.store.question(model, id, ANSWER_MS).then(look, () => {});
  }

  async #renew(model: string, owned: readonly Owned[]): Promise<void> {
    const lost = new Set(await this.#deps.store.renew(model, owned));
    for (const one of owned.filter(({ id }) => lost.has(id))) {
      // After a pause this gateway may have adopted its own answer.
      const n = await this.#deps.store.ownNumber(one);
      const own = this.#deps.owned.get(one.id);
      if (own === undefined) continue;
      if (n === undefined || n === one.n) own.lose(new Failure('shutting_down', 'another gateway owns the answer'));
      else own.owned.n = n;
    }
  }
}
