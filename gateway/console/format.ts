const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** What stands for a value that is not known. */
const UNKNOWN = '–';

/** Such as `131,072`. */
export function whole(count: number | null | undefined): string {
  return count === null || count === undefined ? UNKNOWN : WHOLE.format(count);
}

/** Such as `36.4`. */
export function tenths(count: number | null | undefined): string {
  return count === null || count === undefined ? UNKNOWN : TENTHS.format(count);
}

/** Such as `840 ms`, `3.4 s`, `2 min 5 s` or `3 h 20 min`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < SECOND_MS) return `${WHOLE.format(ms)} ms`;
  if (ms < MINUTE_MS) return `${TENTHS.format(Math.floor(ms / 100) / 10)} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min ${Math.floor((ms % MINUTE_MS) / SECOND_MS)} s`;
  return `${WHOLE.format(Math.floor(ms / HOUR_MS))} h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)} min`;
}

/** Such as `812 B`, `48 kB` or `1.2 MB`. */
export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`;
  return count < 1_000_000 ? `${WHOLE.format(count / 1_000)} kB` : `${TENTHS.format(count / 1_000_000)} MB`;
}

/** The time of the day here, such as `16:05:09`; the text itself if it is no time. */
export function timeOfDay(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : at.toLocaleTimeString('en-GB');
}

/** Such as `1 picture` or `2 pictures`. */
export function counted(count: number, one: string): string {
  return `${WHOLE.format(count)} ${one}${count === 1 ? '' : 's'}`;
}
