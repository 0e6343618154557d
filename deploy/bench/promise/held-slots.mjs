// @ts-check
import { linesOf } from './log-lines.mjs';

/**
 * One slot of an engine while a request held it, as its dispatcher logged it.
 * @typedef {object} Held
 * @property {string} engine with its launcher
 * @property {string} requestId
 * @property {number} from ms since 1970, with fractions, as all programs of this machine count
 * @property {number} to
 * @property {string} outcome
 */

/** This process's clock in ms since 1970. @param {number} at of `performance.now()` */
export const wallClock = (at) => performance.timeOrigin + at;

/** @param {import('./stack.mjs').Stack} stack @returns {Held[]} */
export function heldSlots({ logs }) {
  return logs.launchers.flatMap((file, launcher) =>
    linesOf(file, 'attempt ended').map(({ engine, requestId, takenAt, releasedAt, outcome }) => ({
      engine: `${launcher}/${engine}`,
      requestId,
      from: takenAt,
      to: releasedAt,
      outcome,
    })),
  );
}

/**
 * The share of all slots that were held between two times of this process's clock.
 * @param {readonly Held[]} held @param {number} slots @param {number} from @param {number} to
 */
export function busyShare(held, slots, from, to) {
  const [start, end] = [wallClock(from), wallClock(to)];
  const ms = held.reduce((sum, one) => sum + Math.max(0, Math.min(one.to, end) - Math.max(one.from, start)), 0);
  return ms / (slots * (end - start));
}
