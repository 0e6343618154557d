import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Act, Audit, Who } from './audit.ts';
import type { Log } from './log.ts';

/** How often the file is checked, in ms, if the file system reports no changes; gateway/README.md gives twice this. */
const LOOK_EVERY_MS = 2_000;

export interface FollowedFileDeps {
  readonly path: string;
  /** what it is, such as `key file` */
  readonly name: string;
  /** the setting that names it */
  readonly setting: string;
  /** event of the log line if it cannot be read or parsed */
  readonly unusable: string;
  /** the administrative act that is refused if it cannot be used */
  readonly act: Act['act'];
  /**
   * Takes a new text.
   * @param by the owner of a file that was changed; absent at the start
   * @throws Error in one sentence; the text before stays in use
   */
  readonly take: (text: string, by?: Who) => void;
  readonly audit: Audit;
  readonly log: Log;
}

/**
 * A file whose changes take effect without a restart. It follows the file system's notices immediately. It also checks the
 * file every 2 seconds, because mounted secrets and network drives send no notices. If the file cannot be read or parsed,
 * what it said before stays in use, and the log says so.
 */
export class FollowedFile {
  readonly #deps: FollowedFileDeps;
  readonly #timer: NodeJS.Timeout;
  readonly #watcher: FSWatcher | undefined;
  #text: string;
  #stamp = '';
  #trouble = '';
  #looking = false;
  #again = false;

  /** @throws Error that names the file and what is wrong with it */
  constructor(deps: FollowedFileDeps) {
    const { path, name, setting, take } = deps;
    this.#deps = deps;
    try {
      this.#text = readFileSync(path, 'utf8');
      take(this.#text);
    } catch (cause) {
      throw new Error(`${name} ${path} (${setting}): ${reasonOf(cause)}`, { cause });
    }
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS).unref();
    this.#watcher = this.#watch();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
  }

  /** Watches the folder, not the file: a watcher of the file stays with the old one when the file is replaced. */
  #watch(): FSWatcher | undefined {
    const { path, name, log } = this.#deps;
    const without = (cause: unknown): undefined => {
      log.warn({ file: path, cause }, `the system reports no changes of the ${name}; it is checked every 2 seconds`);
    };
    try {
      const watcher = watch(dirname(path), { persistent: false }, () => void this.#look());
      return watcher.on('error', without);
    } catch (cause) {
      return without(cause);
    }
  }

  async #look(): Promise<void> {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    const { path, unusable, act, audit, log } = this.#deps;
    try {
      while (this.#again) {
        this.#again = false;
        await this.#read();
      }
      this.#trouble = '';
    } catch (cause) {
      const trouble = reasonOf(cause);
      if (trouble !== this.#trouble) {
        log.error({ file: path, trouble }, unusable);
        audit.record({ act, what: path, who: { kind: 'program', name: 'gateway' }, result: 'refused', why: trouble });
      }
      this.#trouble = trouble;
    } finally {
      this.#looking = false;
    }
  }

  async #read(): Promise<void> {
    const { path, take } = this.#deps;
    const { mtimeMs, ctimeMs, size, ino, uid } = await stat(path);
    const stamp = [mtimeMs, ctimeMs, size, ino].join(' ');
    if (stamp === this.#stamp) return;
    const text = await readFile(path, 'utf8');
    if (text !== this.#text) {
      take(text, { kind: 'file', name: `uid ${uid}` });
      this.#text = text;
    }
    this.#stamp = stamp;
  }
}

function reasonOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause);
}
