import type { AnswerStore } from './answer-store.ts';

/** How long a note that this gateway has readers is valid, and how often it is written, in ms. */
const VALID_MS = 15_000;
const WRITTEN_EVERY_MS = 5_000;

/** Notes in Redis which answers have readers at this gateway: the owner may be another one. */
export class ReaderNotes {
  readonly #store: Pick<AnswerStore, 'noteReader'>;
  /** how many readers each answer has here */
  readonly #readers = new Map<string, number>();

  constructor(store: Pick<AnswerStore, 'noteReader'>) {
    this.#store = store;
  }

  /** A reader came. @returns call it when it leaves */
  begin(model: string, id: string): () => void {
    const note = (forMs: number): void => void this.#store.noteReader(model, id, forMs).catch(() => {});
    this.#count(id, 1);
    note(VALID_MS);
    const timer = setInterval(() => note(VALID_MS), WRITTEN_EVERY_MS).unref();
    return () => {
      clearInterval(timer);
      if (this.#count(id, -1) === 0) note(0);
    };
  }

  #count(id: string, by: 1 | -1): number {
    const count = (this.#readers.get(id) ?? 0) + by;
    if (count > 0) this.#readers.set(id, count);
    else this.#readers.delete(id);
    return count;
  }
}
