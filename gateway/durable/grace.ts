import type { Clock } from '#runtime/clock';
import type { AnswerStore } from './answer-store.ts';

/** How often Redis is asked for readers at other gateways, in ms. */
const ASK_EVERY_MS = 1_000;
/** After an outage of Redis, or a change of the owner, readers have this long to be noted again, in ms. */
const NOTED_WITHIN_MS = 7_000;

interface GraceDeps {
  readonly store: Pick<AnswerStore, 'heardForMs'>;
  readonly clock: Clock;
  /** how long a stream goes on without a reader, in ms */
  readonly graceMs: number;
  /** its client waits at this gateway */
  readonly isHeard: () => boolean;
  readonly cancel: () => Promise<unknown>;
}

/** Cancels a stream that has had no reader at any gateway for its grace time. */
export class Grace {
  readonly #deps: GraceDeps;
  readonly #answer: { readonly model: string; readonly id: string };
  /** when it had a reader last, as far as this gateway knows */
  #heardAt: number;
  #isAsking = false;
  /** Redis is not asked again before */
  #askAt: number;

  /** @param isAdopted another gateway owned it before, perhaps until an outage of Redis */
  constructor(deps: GraceDeps, answer: { readonly model: string; readonly id: string }, isAdopted: boolean) {
    this.#deps = deps;
    this.#answer = answer;
    this.#heardAt = deps.clock();
    this.#askAt = 0;
    if (isAdopted) this.wait();
  }

  /** Redis may lack notes of readers: they have time to be written again. */
  wait(): void {
    this.#askAt = this.#deps.clock() + NOTED_WITHIN_MS;
  }

  /** Call it often. Redis is asked only when the time is up here. */
  look(): void {
    const { clock, graceMs, isHeard } = this.#deps;
    if (isHeard()) this.#heardAt = clock();
    const isEarly = clock() - this.#heardAt < graceMs || clock() < this.#askAt;
    if (this.#isAsking || isHeard() || isEarly) return;
    this.#isAsking = true;
    void this.#ask()
      .catch(() => this.wait())
      .finally(() => {
        this.#isAsking = false;
      });
  }

  async #ask(): Promise<void> {
    const { store, clock, graceMs, cancel } = this.#deps;
    const forMs = (await store.heardForMs(this.#answer.model, this.#answer.id)) ?? -Infinity;
    // Redis may have failed over since.
    if (clock() < this.#askAt) return;
    // A reader at another gateway may leave at any moment.
    this.#heardAt = Math.max(this.#heardAt, clock() + Math.min(forMs, 0));
    this.#askAt = clock() + ASK_EVERY_MS;
    if (forMs > 0) return;
    if (clock() - this.#heardAt >= graceMs) await cancel();
  }
}
