import { performance } from 'node:perf_hooks';

/** Monotonic milliseconds of this process; instants of two processes are never compared. */
export type Clock = () => number;
export const monotonic: Clock = () => performance.now();
