// @ts-check
/**
 * What a check works with.
 * @typedef {object} Bench
 * @property {import('./tools.mjs').Tools} tools
 * @property {import('./report.mjs').Report} report
 * @property {boolean} update write what is kept, in place of comparing
 */
export {};
