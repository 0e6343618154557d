// @ts-check
import { readFileSync, writeFileSync } from 'node:fs';
import { UNITS } from './turns.mjs';

/**
 * @typedef {keyof typeof UNITS} Kind
 * @typedef {object} Recording the last published figures of one kind
 * @property {string} command
 * @property {string} date
 * @property {string} commit
 * @property {string} node version
 * @property {number} cores of the machine
 * @property {number | null} load average at the beginning, over one minute; null: not noted
 * @property {Record<string, number>} costs CPU time of one thing, by program
 */

const FILE = new URL('../recorded.json', import.meta.url);

/** @returns {Partial<Record<Kind, Recording>>} */
export function readRecorded() {
  return JSON.parse(readFileSync(FILE, 'utf8'));
}

/** Replaces the published figures of the kinds that were measured. @param {Partial<Record<Kind, Recording>>} figures */
export function record(figures) {
  writeFileSync(FILE, `${JSON.stringify({ ...readRecorded(), ...figures }, null, 2)}\n`);
}

/** The table of deploy/bench/README.md. @param {ReturnType<typeof readRecorded>} recorded */
export function recordedTable(recorded) {
  const kinds = /** @type {Kind[]} */ (Object.keys(UNITS)).flatMap((kind) => {
    const recording = recorded[kind];
    return recording === undefined ? [] : [{ ...UNITS[kind], ...recording }];
  });
  const names = [...new Set(kinds.flatMap(({ costs }) => Object.keys(costs)))];
  const rows = [
    ['CPU time of', ...kinds.map(({ what, unit }) => `${what}, ${unit}`)],
    ['---', ...kinds.map(() => '---')],
    ...names.map((name) => [name, ...kinds.map(({ costs, published }) => (costs[name] ?? 0).toFixed(published))]),
    ['measured', ...kinds.map(({ date, commit }) => `${date}, \`${commit}\``)],
    ['Node', ...kinds.map(({ node }) => node)],
    ['cores, load average', ...kinds.map(({ cores, load }) => `${cores}, ${load ?? '–'}`)],
    ['`npm run bench:self --` …', ...kinds.map(({ command }) => `\`${command}\``)],
  ];
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
