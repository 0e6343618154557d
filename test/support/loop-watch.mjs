// @ts-check
/**
 * Load it into a process with `--import`. At SIGUSR2 it writes its measurements since the last time to the file that its
 * own URL's parameter `file` names, and starts again. With the parameter `collect` it collects garbage first.
 */
import { openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const RESOLUTION_MS = 10;
/** Waits for a CPU are added up over this time and the same time before it: one delay may contain several. */
const WINDOW_MS = 500;
const { searchParams } = new URL(import.meta.url);
const file = searchParams.get('file') ?? '';
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const stat = openSync('/proc/self/schedstat', 'r');
const bytes = Buffer.alloc(64);
/** CPU nanoseconds of the main thread, and those for which it waited for a CPU (source: Linux, Documentation/scheduler/sched-stats). */
const times = () => {
  const [used = '0', waited = '0'] = bytes.toString('latin1', 0, readSync(stat, bytes, 0, 64, 0)).split(' ');
  return { used: Number(used), waited: Number(waited) };
};
setFlagsFromString('--expose-gc');
/** @type {() => void} */
const collect = runInNewContext('gc');

let last = times();
/** `used` of one event-loop run, `waited` of two windows */
const most = { used: 0, waited: 0 };
const window = { since: performance.now(), waited: 0, before: 0 };
const turn = () => {
  const now = times();
  most.used = Math.max(most.used, now.used - last.used);
  if (performance.now() - window.since > WINDOW_MS)
    Object.assign(window, { since: performance.now(), waited: 0, before: window.waited });
  window.waited += now.waited - last.waited;
  most.waited = Math.max(most.waited, window.before + window.waited);
  last = now;
  // Without `unref` the event loop would never sleep.
  setImmediate(turn).unref();
};
const begin = () => {
  delays.reset();
  last = times();
  Object.assign(most, { used: 0, waited: 0 });
  Object.assign(window, { since: performance.now(), waited: 0, before: 0 });
};
process.on('SIGUSR2', () => {
  const seen = {
    delayMs: Math.max(0, delays.max / 1e6 - RESOLUTION_MS),
    blockMs: most.used / 1e6,
    waitMs: most.waited / 1e6,
  };
  // Twice, because the first collection makes more objects unused.
  if (searchParams.has('collect')) for (let i = 0; i < 2; i += 1) collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  writeFileSync(`${file}.part`, JSON.stringify({ ...seen, rss, heap: heapUsed + external }));
  renameSync(`${file}.part`, file);
  begin();
});
delays.enable();
setImmediate(turn).unref();
