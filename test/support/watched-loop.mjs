// @ts-check
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { ROOT, until } from '../drill/processes.mjs';

const Seen = z.object({
  /** longest delay of the event loop; most CPU time of one event-loop run; most time of a second that it waited for a CPU */
  delayMs: z.number(),
  blockMs: z.number(),
  waitMs: z.number(),
  /** bytes */
  rss: z.number(),
  heap: z.number(),
});
const TOLD_WITHIN_MS = 20_000;

/** Watches a process's event loop and memory from inside it. */
export class WatchedLoop {
  #file;
  #collects;

  /** @param {string} folder for the file of measurements @param {{ collects?: boolean }} [options] whether garbage is collected first */
  constructor(folder, { collects = false } = {}) {
    this.#file = join(folder, 'loop.json');
    this.#collects = collects;
  }

  /** variables for the watched process @returns {Record<string, string>} */
  get env() {
    const url = pathToFileURL(join(ROOT, 'test/support/loop-watch.mjs'));
    url.searchParams.set('file', this.#file);
    if (this.#collects) url.searchParams.set('collect', '1');
    return { NODE_OPTIONS: `--import=${url.href}` };
  }

  /** Measurements since the last call. @param {number} pid of the watched process */
  async seen(pid) {
    rmSync(this.#file, { force: true });
    process.kill(pid, 'SIGUSR2');
    const told = await until('the watched process tells', () => readFileSync(this.#file, 'utf8'), TOLD_WITHIN_MS);
    return Seen.parse(JSON.parse(told));
  }
}
