import type { Clock } from '#runtime/clock';
import type { Failure } from '../failure.ts';
import type { AnswerFilter } from './answer-filter.ts';
import type { ClientStream } from './client-stream.ts';
import { HeldStream } from './held-stream.ts';
import type { Notes } from './notes.ts';
import type { Asked } from './question.ts';
import type { Renderers } from './renderers.ts';

/** The client of a judged answer. */
export interface Judged {
  readonly render: Pick<Renderers, 'tellsFilterResults'>;
  readonly notes: Pick<Notes, 'phases'>;
  /** fires when the client is gone; its reason is a Failure */
  readonly signal: AbortSignal;
  readonly filter: AnswerFilter;
}

/** A stream that the content filter judges, and its attempts, which end when the filter blocks it. */
export class HeldAnswer {
  readonly #stop = new AbortController();
  readonly #asked: Asked;
  readonly #recipient: Judged;
  readonly #clock: Clock;
  #stream: HeldStream | undefined;
  /** fires when the client is gone, or the rest of the answer is useless; its reason is a Failure */
  readonly signal: AbortSignal;

  constructor(asked: Asked, recipient: Judged, clock: Clock) {
    this.#asked = asked;
    this.#recipient = recipient;
    this.#clock = clock;
    this.signal = AbortSignal.any([recipient.signal, this.#stop.signal]);
  }

  get isBlocked(): boolean {
    return this.#stream?.isBlocked === true;
  }

  /** Puts the filter in front of a client that takes the engine's events. */
  before(client: ClientStream): ClientStream {
    const { filter, render, signal, notes } = this.#recipient;
    const { question, choices } = this.#asked;
    this.#stream = new HeldStream(client, {
      path: question.path,
      choices,
      filter,
      isTold: render.tellsFilterResults === true,
      signal,
      clock: this.#clock,
      stop: (why: Failure) => this.#stop.abort(why),
      onFirst: () => {
        notes.phases.firstByteAt = this.#clock();
      },
    });
    return this.#stream;
  }

  /** see `HeldStream` */
  async settle(): Promise<void> {
    await this.#stream?.settle();
  }

  drop(): void {
    this.#stream?.drop();
  }
}
