import { hashText, mix } from '../text/hash.ts';
import type { Picture } from '../pictures/image.ts';
import type { Prompt } from '../text/prompt.ts';

export interface CacheUse {
  /** tokens that the cache had */
  readonly cached: number;
  /** tokens that were added to the cache */
  readonly created: number;
}

/** Remembers which beginnings of prompts were computed, block by block, as vLLM's prefix cache does. */
export class PrefixCache {
  readonly #blocks = new Set<number>();
  readonly #blockSize: number;
  readonly #capacity: number;

  /** @param capacityTokens size of the KV cache in tokens; beyond it the oldest blocks are dropped */
  constructor(blockSize: number, capacityTokens: number) {
    this.#blockSize = blockSize;
    this.#capacity = Math.max(Math.floor(capacityTokens / blockSize), 1);
  }

  /** @param salt separates tenants: prompts under different salts share nothing */
  use(prompt: Prompt, salt: string | undefined): CacheUse {
    if (prompt.count < this.#blockSize) return { cached: 0, created: 0 };
    const hashes = this.#hashes(prompt, salt === undefined ? 0 : hashText(salt));
    // vLLM computes at least one token, so the last block of a fully cached prompt does not count.
    const usable = Math.floor((prompt.count - 1) / this.#blockSize);
    const missing = hashes.findIndex((hash) => !this.#blocks.has(hash));
    const hits = missing < 0 ? hashes.length : missing;
    for (const hash of hashes) {
      this.#blocks.delete(hash);
      this.#blocks.add(hash);
    }
    this.#trim();
    return { cached: Math.min(hits, usable) * this.#blockSize, created: (hashes.length - hits) * this.#blockSize };
  }

  clear(): void {
    this.#blocks.clear();
  }

  #hashes({ pieces, pictures }: Prompt, salt: number): number[] {
    const found: number[] = [];
    let hash = salt;
    let length = 0;
    const take = (unit: number): void => {
      hash = mix(hash, unit);
      length += 1;
      if (length % this.#blockSize === 0) found.push(hash);
    };
    pieces.forEach((piece, index) => {
      take(hashText(piece));
      if (index > 0) return;
      for (const { picture, tokens } of pictures) for (let i = 0; i < tokens; i += 1) take(picture.hash);
    });
    return found;
  }

  #trim(): void {
    for (const hash of this.#blocks) {
      if (this.#blocks.size <= this.#capacity) return;
      this.#blocks.delete(hash);
    }
  }
}

const PICTURES_KEPT = 1024;

/**
 * Pictures that were prepared before, by content or by the name in the request (`uuid`). As in vLLM, a known name gives
 * the first picture of that name, even if the request has another picture.
 */
export class PictureCache {
  readonly #known = new Map<string, Picture>();

  find(uuid: string): Picture | undefined {
    return this.#known.get(uuid);
  }

  /** @returns the picture to use, and whether the cache had it */
  use(picture: Picture, uuid: string | undefined): { readonly picture: Picture; readonly isHit: boolean } {
    const key = uuid ?? `content ${picture.hash}`;
    const before = this.#known.get(key);
    if (before !== undefined) return { picture: before, isHit: true };
    this.#known.set(key, picture);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= PICTURES_KEPT) break;
      this.#known.delete(oldest);
    }
    return { picture, isHit: false };
  }

  clear(): void {
    this.#known.clear();
  }
}
