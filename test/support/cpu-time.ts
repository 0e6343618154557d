const YARDSTICK = Buffer.alloc(20_000_000, 'a');
/** Maximum time of an idle core for the sum of the reference bytes. */
const QUIET_MS = 10;
let sum = 0;

const MOST_RUNS = 5;

/**
 * Measures the CPU time of `work`, up to five times: other processes use the caches, and code is compiled once.
 * @param enoughMs a run this short ends the measurement
 * @returns the milliseconds of the shortest run
 */
export function leastCpuMs(work: () => void, enoughMs = 0): number {
  let least = Infinity;
  for (let run = 0; run < MOST_RUNS && least > enoughMs; run += 1) {
    const begun = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(begun);
    least = Math.min(least, (user + system) / 1_000);
  }
  return least;
}

/** Converts CPU milliseconds of an idle core to this one, whose other half and caches other processes may use. */
export function asManyHere(quietMs: number): number {
  const tookMs = leastCpuMs(() => {
    for (let index = 0; index < YARDSTICK.length; index += 1) sum += YARDSTICK[index] ?? 0;
  }, QUIET_MS);
  return quietMs * Math.max(1, tookMs / QUIET_MS);
}
