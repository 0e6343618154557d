import { FollowedFile } from '#runtime/followed-file';
import type { Log } from '#runtime/log';
import type { Caller } from './caller.ts';
import { parseKeyFile, type Webhook } from './key-file.ts';
import { KeyRing } from './key-ring.ts';

/** The key file in its present state. A change takes effect without a restart. */
export class LiveKeys {
  readonly #file: FollowedFile;
  #ring = new KeyRing([]);

  /** @throws Error that names the file and what is wrong with it */
  constructor(path: string, log: Log) {
    const take = (text: string): void => {
      this.#ring = new KeyRing(parseKeyFile(text));
      log.info({ file: path, keys: this.#ring.size }, 'keys read');
    };
    this.#file = new FollowedFile({
      path,
      name: 'key file',
      setting: 'GATEWAY_KEYS_FILE',
      unusable: 'the key file cannot be used; the previous keys stay valid',
      take,
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
