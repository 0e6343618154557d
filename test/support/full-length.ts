import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';

const Settings = z.object({
  /** long cases at full length, instead of shortened limits */
  PENSTOCK_TEST_FULL_LENGTH: z.stringbool().default(false),
});
const { PENSTOCK_TEST_FULL_LENGTH: isFull } = Settings.parse(process.env);

/** A length, limit or count of a long case: full, or shortened for every run. */
export function either<T>(full: T, short: T): T {
  return isFull ? full : short;
}

/** Waits for the case's own duration, not for an event; ends early when `signal` fires. */
export async function lasts(ms: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {});
}
