import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Audit, Who } from '#runtime/audit';
import type { Log } from '#runtime/log';
import type { Caller } from './caller.ts';
import { changesBetween } from './key-changes.ts';
import { parseKeyFile, type KeyEntry, type Webhook } from './key-file.ts';
import { KeyRing } from './key-ring.ts';

/** How often the file is checked, in ms, if the file system reports no changes; gateway/README.md gives twice this. */
const LOOK_EVERY_MS = 2_000;

/**
 * The key file in its present state. A change takes effect without a restart. The gateway follows the file system's
 * notices immediately. It also checks the file every 2 seconds, because mounted secrets and network drives send no
 * notices. If the file cannot be read or parsed, the last good keys stay in use, and the log says so.
 */
export class LiveKeys {
  readonly #path: string;
  readonly #log: Log;
  readonly #audit: Audit;
  readonly #timer: NodeJS.Timeout;
  readonly #watcher: FSWatcher | undefined;
  #entries: readonly KeyEntry[];
  #ring: KeyRing;
  #text: string;
  #stamp = '';
  #trouble = '';
  #looking = false;
  #again = false;

  /** @throws Error that names the file and what is wrong with it */
  constructor(path: string, log: Log, audit: Audit) {
    this.#path = path;
    this.#log = log;
    this.#audit = audit;
    try {
      this.#text = readFileSync(path, 'utf8');
      this.#entries = parseKeyFile(this.#text);
      this.#ring = new KeyRing(this.#entries);
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

  /** Where events of a key's responses go now. @param id of the key */
  webhookOf(id: string): Webhook | undefined {
    return this.#ring.webhookOf(id);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
  }

  /** Watches the folder, not the file: a watcher of the file stays with the old one when the file is replaced. */
  #watch(): FSWatcher | undefined {
    const without = (cause: unknown): undefined => {
      this.#log.warn(
        { file: this.#path, cause },
        'the system reports no changes of the key file; it is checked every 2 seconds',
      );
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
      if (trouble !== this.#trouble) {
        this.#log.error({ file: this.#path, trouble }, 'the key file cannot be used; the previous keys stay valid');
        const who: Who = { kind: 'program', name: 'gateway' };
        this.#audit.record({ act: 'key_file.read', what: this.#path, who, result: 'refused', why: trouble });
      }
      this.#trouble = trouble;
    } finally {
      this.#looking = false;
    }
  }

  async #read(): Promise<void> {
    const { mtimeMs, ctimeMs, size, ino, uid } = await stat(this.#path);
    const stamp = [mtimeMs, ctimeMs, size, ino].join(' ');
    if (stamp === this.#stamp) return;
    const text = await readFile(this.#path, 'utf8');
    if (text !== this.#text) {
      const [before, after] = [this.#entries, parseKeyFile(text)];
      this.#ring = new KeyRing(after);
      this.#entries = after;
      this.#text = text;
      const who: Who = { kind: 'file', name: `uid ${uid}` };
      for (const change of changesBetween(before, after)) this.#audit.record({ ...change, who, result: 'done' });
      this.#log.info({ file: this.#path, keys: this.#ring.size }, 'keys read');
    }
    this.#stamp = stamp;
  }
}

function reasonOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause);
}
