// @ts-check
/**
 * To be loaded into a process with `--import`. At SIGUSR2 it writes what it saw since the last time into the file that its
 * own URL's parameter `file` names, and begins anew. With the parameter `collect` it collects garbage first.
 */
import { openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const RESOLUTION_MS = 10;
const { searchParams } = new URL(import.meta.url);
const file = searchParams.get('file') ?? '';
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const stat = openSync('/proc/self/schedstat', 'r');
const bytes = Buffer.alloc(64);
/** CPU nanoseconds of the main thread (source: Linux, Documentation/scheduler/sched-stats). */
const used = () => Number.parseInt(bytes.toString('latin1', 0, readSync(stat, bytes, 0, 64, 0)), 10);
setFlagsFromString('--expose-gc');
/** @type {() => void} */
const collect = runInNewContext('gc');

let last = used();
let longest = 0;
const turn = () => {
  const now = used();
  longest = Math.max(longest, now - last);
  last = now;
  // Without `unref` the loop would never sleep.
  setImmediate(turn).unref();
};
const begin = () => {
  delays.reset();
  last = used();
  longest = 0;
};
process.on('SIGUSR2', () => {
  const seen = { delayMs: Math.max(0, delays.max / 1e6 - RESOLUTION_MS), blockMs: longest / 1e6 };
  if (searchParams.has('collect')) collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  writeFileSync(`${file}.part`, JSON.stringify({ ...seen, rss, heap: heapUsed + external }));
  renameSync(`${file}.part`, file);
  begin();
});
delays.enable();
setImmediate(turn).unref();
