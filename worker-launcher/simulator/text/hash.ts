const PRIME = 0x01000193;

/** FNV-1a over UTF-16 units, continued from `state`. It is cheap and the same in every process. Not for secrets. */
export function hashText(text: string, state = 0x811c9dc5): number {
  let hash = state;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME);
  return hash >>> 0;
}

/** Mixes a number in; neighbouring inputs give unrelated results. */
export function mix(state: number, value: number): number {
  let hash = Math.imul(state ^ (value | 0), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A repeatable sequence of numbers (xorshift32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** @returns an integer from 0 to `sides` - 1 */
  roll(sides: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % sides;
  }
}
