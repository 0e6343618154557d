import type { TokenSource } from '../text/answer.ts';
import type { Sampling } from './sampling.ts';
import { TOKEN, tokenId } from '../text/tokens.ts';

export type FinishReason = 'stop' | 'length' | 'abort';

/** One decode step: one token. Its text may be empty, or held back until a later step. */
export interface Step {
  readonly piece: string;
  readonly text: string;
  readonly finish: FinishReason | null;
  /** the id or the string that stopped the answer */
  readonly stopReason: number | string | null;
}

/** One choice of one request while it is generated: applies length, end and stop rules to a source of tokens. */
export class Sequence {
  produced = 0;
  readonly #holdBack: number;
  readonly #source: TokenSource;
  readonly #sampling: Sampling;
  readonly #maxTokens: number;
  /** generated but held back, because it may be the beginning of a stop string */
  #held = '';

  constructor(source: TokenSource, sampling: Sampling, maxTokens: number) {
    this.#source = source;
    this.#sampling = sampling;
    this.#maxTokens = maxTokens;
    const longest = sampling.stops.reduce((most, stop) => Math.max(most, stop.length), 1);
    this.#holdBack = sampling.keepStop ? 0 : longest - 1;
  }

  step(): Step {
    const sampling = this.#sampling;
    const isTooEarly = this.produced < sampling.minTokens;
    const piece = this.#source.next(sampling.ignoreEos || isTooEarly);
    this.produced += 1;
    if (piece === undefined) return this.#ended('<|end|>', '', 'stop', TOKEN.end);
    if (!isTooEarly && sampling.stopIds.length > 0) {
      const id = tokenId(piece);
      if (sampling.stopIds.includes(id)) return this.#ended(piece, sampling.keepStop ? piece : '', 'stop', id);
    }
    if (sampling.stops.length > 0) return this.#withStops(piece, isTooEarly);
    const isLast = this.produced >= this.#maxTokens;
    return { piece, text: piece, finish: isLast ? 'length' : null, stopReason: null };
  }

  /** The last step of an aborted sequence: no token, the text held back so far, `abort`. */
  aborted(): Step {
    return this.#ended('', '', 'abort', null);
  }

  #withStops(piece: string, isTooEarly: boolean): Step {
    this.#held += piece;
    const stop = isTooEarly ? undefined : this.#sampling.stops.find((text) => this.#held.includes(text));
    if (stop !== undefined) {
      const at = this.#held.indexOf(stop);
      const text = this.#held.slice(0, this.#sampling.keepStop ? at + stop.length : at);
      return { piece, text, finish: 'stop', stopReason: stop };
    }
    if (this.produced >= this.#maxTokens) return this.#ended(piece, '', 'length', null);
    const text = this.#held.slice(0, Math.max(this.#held.length - this.#holdBack, 0));
    this.#held = this.#held.slice(text.length);
    return { piece, text, finish: null, stopReason: null };
  }

  #ended(piece: string, text: string, finish: FinishReason, stopReason: number | string | null): Step {
    const rest = this.#held + text;
    this.#held = '';
    return { piece, text: rest, finish, stopReason };
  }
}
