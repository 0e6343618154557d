// @ts-check
/**
 * Loaded into a process with `--import`, it records the CPU time (ms, main thread) of each run of the event loop above 1 ms. At
 * SIGUSR2 it writes them as JSON into the file of its own URL's parameter `file`, and starts again.
 */
import { openSync, readSync, writeFileSync } from 'node:fs';

const file = new URL(import.meta.url).searchParams.get('file') ?? '';
const stat = openSync('/proc/self/schedstat', 'r');
const bytes = Buffer.alloc(64);
/** CPU nanoseconds of the main thread (source: Linux, Documentation/scheduler/sched-stats). */
const used = () => Number.parseInt(bytes.toString('latin1', 0, readSync(stat, bytes, 0, 64, 0)), 10);

let last = used();
/** @type {number[]} */
let turns = [];
process.on('SIGUSR2', () => {
  writeFileSync(file, JSON.stringify(turns));
  turns = [];
});
const turn = () => {
  const now = used();
  if (now - last > 1e6) turns.push((now - last) / 1e6);
  last = now;
  setImmediate(turn).unref();
};
setImmediate(turn).unref();
