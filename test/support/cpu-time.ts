const YARDSTICK = Buffer.alloc(20_000_000, 'a');
/** What a quiet core takes to add up the yardstick's bytes, at most. */
const QUIET_MS = 10;
let sum = 0;

/** @returns the least milliseconds of CPU time that `work` took: what else runs takes of the caches, and code is compiled once */
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

/** What so many milliseconds of CPU time of a quiet core are on this one: others may use its other half and its caches. */
export function asManyHere(quietMs: number): number {
  const tookMs = leastCpuMs(() => {
    for (let index = 0; index < YARDSTICK.length; index += 1) sum += YARDSTICK[index] ?? 0;
  });
  return quietMs * Math.max(1, tookMs / QUIET_MS);
}
