// @ts-check
/**
 * Arguments of a check.
 * @typedef {object} Bench
 * @property {import('./tools.mjs').Tools} tools
 * @property {import('./report.mjs').Report} report
 * @property {boolean} update writes the kept output instead of comparing it
 */
export {};
