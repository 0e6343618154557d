// @ts-check
/**
 * To be loaded into a process with `--import`: the most CPU time (ms, main thread) that one turn of its event loop took.
 * At SIGUSR2 it writes that into the file of its own URL's parameter `file`, and begins anew.
 */
import { openSync, readSync, writeFileSync } from 'node:fs';

const file = new URL(import.meta.url).searchParams.get('file') ?? '';
const stat = openSync('/proc/self/schedstat', 'r');
const bytes = Buffer.alloc(64);
/** CPU nanoseconds of the main thread (source: Linux, Documentation/scheduler/sched-stats). */
const used = () => Number.parseInt(bytes.toString('latin1', 0, readSync(stat, bytes, 0, 64, 0)), 10);

let last = used();
let longest = 0;
process.on('SIGUSR2', () => {
  writeFileSync(file, String(longest / 1e6));
  longest = 0;
});
const turn = () => {
  const now = used();
  longest = Math.max(longest, now - last);
  last = now;
  setImmediate(turn).unref();
};
setImmediate(turn).unref();
