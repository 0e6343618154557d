import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Log } from '#runtime/log';
import type { Caller } from './caller.ts';
import { parseKeyFile } from './key-file.ts';
import { KeyRing } from './key-ring.ts';

/** Longest time until a change of the file counts, where the file system tells of no changes; gateway/README.md doubles it. */
const LOOK_EVERY_MS = 2_000;

/**
 * The key file as it is now. A change counts without a restart: the file system's notice is followed at once, and the
 * file is looked at every two seconds besides, as mounted secrets and network drives give no notice. A file that cannot
 * be read or parsed changes nothing: the keys of the last good reading stay, and the log says so.
 */
export class LiveKeys {
  readonly #path: string;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  readonly #watcher: FSWatcher | undefined;
  #ring: KeyRing;
  #text: string;
  #stamp = '';
  #trouble = '';
  #looking = false;
  #again = false;

  /** @throws Error that names the file and what is wrong with it */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    try {
      this.#text = readFileSync(path, 'utf8');
      this.#ring = new KeyRing(parseKeyFile(this.#text));
    } catch (cause) {
      throw new Error(`key file ${path} (GATEWAY_KEYS_FILE): ${reasonOf(cause)}`, { cause });
    }
    this.#log.info({ file: path, keys: this.#ring.size }, 'keys read');
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS).unref();
    this.#watcher = this.#watch();
  }

  get size(): number {
    return this.#ring.size;
  }

  find(presented: readonly string[]): Caller | undefined {
    return this.#ring.find(presented);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
  }

  /** The folder, not the file: who replaces a file leaves a watcher of the old one behind. */
  #watch(): FSWatcher | undefined {
    const without = (cause: unknown): undefined => {
      this.#log.warn({ file: this.#path, cause }, 'no notice of changes to the key file; it is looked at in intervals');
    };
    try {
      const watcher = watch(dirname(this.#path), { persistent: false }, () => void this.#look());
      return watcher.on('error', without);
    } catch (cause) {
      return without(cause);
    }
  }

  async #look(): Promise<void> {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#again) {
        this.#again = false;
        await this.#read();
      }
      this.#trouble = '';
    } catch (cause) {
      const trouble = reasonOf(cause);
      if (trouble !== this.#trouble)
        this.#log.error({ file: this.#path, trouble }, 'the key file cannot be used; the keys before it stay');
      this.#trouble = trouble;
    } finally {
      this.#looking = false;
    }
  }

  async #read(): Promise<void> {
    const { mtimeMs, ctimeMs, size, ino } = await stat(this.#path);
    const stamp = [mtimeMs, ctimeMs, size, ino].join(' ');
    if (stamp === this.#stamp) return;
    const text = await readFile(this.#path, 'utf8');
    if (text !== this.#text) {
      this.#ring = new KeyRing(parseKeyFile(text));
      this.#text = text;
      this.#log.info({ file: this.#path, keys: this.#ring.size }, 'keys read');
    }
    this.#stamp = stamp;
  }
}

function reasonOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause);
}
