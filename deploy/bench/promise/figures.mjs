// @ts-check

/** @param {readonly number[]} values @param {number} share 0 to 1 @returns {number} NaN if there are none */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** @template T @param {readonly T[]} all @param {(one: T) => boolean} is @returns {number} NaN if there are none */
export const shareOf = (all, is) => all.filter(is).length / all.length;

/** @template T @param {readonly T[]} all @param {(one: T) => string} name @returns {Record<string, number>} */
export function countBy(all, name) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const one of all) counts[name(one)] = (counts[name(one)] ?? 0) + 1;
  return counts;
}

/** Arrivals a second, for each whole second of a time. @param {readonly number[]} times @param {number} from @param {number} to */
export function perSecond(times, from, to) {
  const counts = Array.from({ length: Math.floor((to - from) / 1_000) }, () => 0);
  for (const at of times) {
    const second = Math.floor((at - from) / 1_000);
    if (counts[second] !== undefined) counts[second] += 1;
  }
  return counts;
}

/** @param {number} share */
export const percent = (share) => (Number.isNaN(share) ? '–' : `${(share * 100).toFixed(1)} %`);
/** @param {number} ms */
export const seconds = (ms) => (Number.isNaN(ms) ? '–' : `${(ms / 1_000).toFixed(1)} s`);

/** Rounded for a file. @param {number} value */
export const rounded = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)) : null);

/** @typedef {Record<string, string | number | null | Record<string, number>>} Figures */

/** One line a figure. @param {string} title @param {Figures} figures */
export function printFigures(title, figures) {
  console.log(`\n${title}`);
  for (const [name, value] of Object.entries(figures)) {
    const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '–');
    console.log(`  ${name.padEnd(44)} ${text}`);
  }
}
