// @ts-check
import { setTimeout as pause } from 'node:timers/promises';

/** Lengths of answers in tokens, each equally often: a mix of 1:20. */
const SHORTEST = 1;
const LONGEST = 20;

/** @typedef {() => number} Random from 0 up to 1 */

/** The same numbers in every run. @param {number} seed @returns {Random} */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Lengths in random order, each once before one comes again, so that short runs have the same mean. @param {Random} random */
export function lengthsOf(random) {
  /** @type {number[]} */
  let left = [];
  return () => {
    if (left.length === 0) left = Array.from({ length: LONGEST - SHORTEST + 1 }, (_, i) => SHORTEST + i);
    const [one] = left.splice(Math.floor(random() * left.length), 1);
    return one ?? SHORTEST;
  };
}

/** How late calls were started, in ms: on a machine that is too busy, no figure means anything. @type {number[]} */
const startedLate = [];
export const lateStarts = () => startedLate.splice(0);

/**
 * Starts calls at a steady rate, each at a random time of its own interval, whether earlier ones have ended or not.
 * @template T
 * @param {number} perSecond @param {number} seconds @param {Random} random @param {() => Promise<T>} call
 * @returns {Promise<Promise<T>[]>} after the last start
 */
export async function offer(perSecond, seconds, random, call) {
  const startedAt = performance.now();
  const running = [];
  for (let i = 0; i < Math.round(perSecond * seconds); i += 1) {
    const at = startedAt + ((i + random()) * 1_000) / perSecond;
    const left = at - performance.now();
    if (left > 1) await pause(left);
    startedLate.push(performance.now() - at);
    running.push(call());
  }
  const left = startedAt + seconds * 1_000 - performance.now();
  if (left > 0) await pause(left);
  return running;
}

/**
 * Callers that ask again and again until the time is over.
 * @param {number} callers @param {number} seconds @param {() => Promise<unknown>} call
 * @returns {Promise<void>} after the last answer
 */
export async function saturate(callers, seconds, call) {
  const until = performance.now() + seconds * 1_000;
  const caller = async () => {
    while (performance.now() < until) await call();
  };
  await Promise.all(Array.from({ length: callers }, caller));
}
