import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';

const Settings = z.object({
  /** long cases at the length in which users met them, in place of shortened limits */
  PENSTOCK_TEST_FULL_LENGTH: z.stringbool().default(false),
});
const { PENSTOCK_TEST_FULL_LENGTH: isFull } = Settings.parse(process.env);

/** A length, limit or count of a long case: as users met it, or shortened for every run. */
export function either<T>(full: T, short: T): T {
  return isFull ? full : short;
}

/** Waits as long as the case is about, not for something to happen; less long when `signal` fires. */
export async function lasts(ms: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {});
}
