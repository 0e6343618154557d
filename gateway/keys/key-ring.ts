import { createHash, timingSafeEqual } from 'node:crypto';
import type { Caller } from './caller.ts';
import type { KeyEntry, Webhook } from './key-file.ts';
import { callerWith } from './rights.ts';

/** A key file holds only the SHA-256 of each key. Keys are random, so they need no salt and no slow hash. */
export function hashOfKey(key: string): Buffer {
  return createHash('sha256').update(key, 'utf8').digest();
}

/** The keys of the file as it was read once. */
export class KeyRing {
  readonly #keys: readonly { readonly hash: Buffer; readonly caller: Caller }[];
  readonly #webhooks: ReadonlyMap<string, Webhook>;

  constructor(entries: readonly KeyEntry[]) {
    this.#keys = entries.flatMap((entry) => {
      const { id, primary, secondary } = entry;
      const caller = callerWith(entry, { id, fingerprint: `${primary ?? ''} ${secondary ?? ''}` });
      return [primary, secondary].flatMap((hex) =>
        hex === undefined ? [] : [{ hash: Buffer.from(hex, 'hex'), caller }],
      );
    });
    this.#webhooks = new Map(entries.flatMap(({ id, webhook }) => (webhook === undefined ? [] : [[id, webhook]])));
  }

  /** Where events of a key's responses go. @param id of the key */
  webhookOf(id: string): Webhook | undefined {
    return this.#webhooks.get(id);
  }

  get size(): number {
    return this.#keys.length;
  }

  /**
   * Compares with every key, so that the time does not tell whether or which key matches.
   * @param presented keys that the request carries; the first valid one counts
   */
  find(presented: readonly string[]): Caller | undefined {
    let found: Caller | undefined;
    for (const key of presented) {
      const hash = hashOfKey(key);
      for (const known of this.#keys) if (timingSafeEqual(known.hash, hash)) found ??= known.caller;
    }
    return found;
  }
}
