import type { Audit, Who } from '#runtime/audit';
import { FollowedFile } from '#runtime/followed-file';
import type { Log } from '#runtime/log';
import type { Caller } from './caller.ts';
import { changesBetween } from './key-changes.ts';
import { parseKeyFile, type KeyEntry, type Webhook } from './key-file.ts';
import { KeyRing } from './key-ring.ts';

/** The key file in its present state. A change takes effect without a restart. */
export class LiveKeys {
  readonly #file: FollowedFile;
  #entries: readonly KeyEntry[] = [];
  #ring = new KeyRing([]);

  /** @throws Error that names the file and what is wrong with it */
  constructor(path: string, log: Log, audit: Audit) {
    const take = (text: string, by?: Who): void => {
      const [before, after] = [this.#entries, parseKeyFile(text)];
      this.#ring = new KeyRing(after);
      this.#entries = after;
      if (by !== undefined)
        for (const change of changesBetween(before, after)) audit.record({ ...change, who: by, result: 'done' });
      log.info({ file: path, keys: this.#ring.size }, 'keys read');
    };
    this.#file = new FollowedFile({
      path,
      name: 'key file',
      setting: 'GATEWAY_KEYS_FILE',
      unusable: 'the key file cannot be used; the previous keys stay valid',
      act: 'key_file.read',
      take,
      audit,
      log,
    });
  }

  get size(): number {
    return this.#ring.size;
  }

  find(presented: readonly string[]): Caller | undefined {
    return this.#ring.find(presented);
  }

  /** Where events of a key's responses go now. @param id of the key */
  webhookOf(id: string): Webhook | undefined {
    return this.#ring.webhookOf(id);
  }

  close(): void {
    this.#file.close();
  }
}
