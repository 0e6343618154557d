import { Dice, hashText, mix } from './hash.ts';
import { splitText } from './tokens.ts';

/** Gives the pieces of one answer in order; `undefined` is the natural end of the answer. */
export interface TokenSource {
  /** @param pastEnd go on beyond the natural end (`ignore_eos`, `min_tokens`) */
  next(pastEnd: boolean): string | undefined;
}

/** What an answer depends on, besides the assistant's prefix. */
export interface AnswerSeed {
  /** hash of the conversation with its pictures, without the assistant's prefix */
  readonly conversation: number;
  /** last question of the user, quoted in the answer */
  readonly question: string;
  /** such as `PNG picture of 640 x 480 pixels`, one per picture */
  readonly pictures: readonly string[];
}

const WORDS = {
  adjective:
    ' quiet, narrow, bright, wooden, distant, heavy, green, early, plain, careful, warm, long, pale, busy, round, old',
  noun: ' street, river, window, market, engine, garden, letter, bridge, signal, table, valley, harbour, lantern, station, path, wall',
  verb: ' follows, crosses, holds, meets, covers, carries, faces, joins, leaves, marks, guards, reaches, turns, keeps, shows, finds',
  relation: ' behind, beside, beyond, under, near, above, across, before',
};
const VOCABULARY = {
  adjective: WORDS.adjective.split(','),
  noun: WORDS.noun.split(','),
  verb: WORDS.verb.split(','),
  relation: WORDS.relation.split(','),
} as const;
const SENTENCE = [
  ' The',
  'adjective',
  'noun',
  'verb',
  ' the',
  'noun',
  'relation',
  ' a',
  'adjective',
  'noun',
  '.',
] as const;
const QUESTION_LIMIT = 160;

/**
 * The answer to a conversation, piece by piece: the pictures and the question, then filler. A pure function of its
 * arguments. The answer continues `prefix`. If the prefix is a beginning of this answer, the rest follows exactly, even
 * if the prefix ends within a piece. After any other prefix the answer is filler that depends on it.
 */
export function answerTo(seed: AnswerSeed, prefix: string): TokenSource {
  const whole = new Story(seed);
  const said = prefix.trimStart();
  if (said === '') return whole;
  const rest = whole.skip(said);
  return rest === undefined ? new Story(seed, prefix) : whole.startWith(rest);
}

class Story implements TokenSource {
  readonly #opening: readonly string[];
  readonly #dice: Dice;
  /** pieces after which the end of a sentence is the end of the answer */
  readonly #enough: number;
  #given = 0;
  #slot = 0;
  #remainder = '';

  constructor(seed: AnswerSeed, foreignPrefix = '') {
    this.#opening = foreignPrefix === '' ? splitText(openingOf(seed)) : [];
    const already = foreignPrefix === '' ? 0 : splitText(foreignPrefix).length;
    const length = this.#opening.length + 20 + (mix(seed.conversation, 7) % 80);
    this.#enough = Math.max(length - already, 1);
    this.#dice = new Dice(
      foreignPrefix === '' ? mix(seed.conversation, 1) : hashText(foreignPrefix, seed.conversation),
    );
  }

  next(pastEnd: boolean): string | undefined {
    if (this.#remainder !== '') {
      const rest = this.#remainder;
      this.#remainder = '';
      return rest;
    }
    if (!pastEnd && this.#given >= this.#enough && this.#slot === 0) return undefined;
    const piece = this.#opening[this.#given] ?? this.#filler();
    this.#given += 1;
    return piece;
  }

  /** Skips `said`. @returns the rest of the piece in which it ended, or `undefined` if it is not this answer's text */
  skip(said: string): string | undefined {
    let position = 0;
    while (position < said.length) {
      const whole = this.next(true) ?? '';
      const piece = position === 0 ? whole.trimStart() : whole;
      const overlap = said.slice(position, position + piece.length);
      if (!piece.startsWith(overlap)) return undefined;
      if (overlap.length < piece.length) return piece.slice(overlap.length);
      position += piece.length;
    }
    return '';
  }

  startWith(rest: string): this {
    this.#remainder = rest;
    return this;
  }

  #filler(): string {
    const word = SENTENCE[this.#slot] ?? '.';
    this.#slot = (this.#slot + 1) % SENTENCE.length;
    switch (word) {
      case 'adjective':
      case 'noun':
      case 'verb':
      case 'relation': {
        const choices = VOCABULARY[word];
        return choices[this.#dice.roll(choices.length)] ?? ' thing';
      }
      default:
        return word;
    }
  }
}

function openingOf(seed: AnswerSeed): string {
  // If the answer is sent back as a prefix, control tokens would end the message.
  const plain = seed.question
    .replaceAll(/<\|[^|]*\|>|<\/?s>|\uFFFD/g, ' ')
    .replaceAll(/\s+/gu, ' ')
    .trim();
  const question = Array.from(plain).slice(0, QUESTION_LIMIT).join('').trim();
  const asked = question === '' ? ' You asked nothing.' : ` You asked: "${question}".`;
  if (seed.pictures.length === 0) return asked;
  return ` I see ${seed.pictures.map((picture) => `a ${picture}`).join(' and ')}.${asked}`;
}
