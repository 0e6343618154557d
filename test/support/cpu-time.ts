const YARDSTICK = Buffer.alloc(20_000_000, 'a');
/** Maximum time of an idle core for the sum of the reference bytes. */
const QUIET_MS = 10;
let sum = 0;

/** @returns the least CPU milliseconds of several runs of `work`, because other processes use the caches and code is compiled once */
export function leastCpuMs(work: () => void, times = 5): number {
  return Math.min(
    ...Array.from({ length: times }, () => {
      const begun = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(begun);
      return (user + system) / 1_000;
    }),
  );
}

/** Converts CPU milliseconds of an idle core to this one, whose other half and caches other processes may use. */
export function asManyHere(quietMs: number): number {
  const tookMs = leastCpuMs(() => {
    for (let index = 0; index < YARDSTICK.length; index += 1) sum += YARDSTICK[index] ?? 0;
  });
  return quietMs * Math.max(1, tookMs / QUIET_MS);
}
