// @ts-check
import { total } from './merge.mjs';

/**
 * @typedef {import('./merge.mjs').Row} Row
 * @typedef {import('./merge.mjs').Results} Results
 */

/** @param {number | null | undefined} value @param {number} digits */
const number = (value, digits) => (value === null || value === undefined ? '–' : value.toFixed(digits));
/** @param {{ p50: number | null, p99: number | null }} times */
const pair = ({ p50, p99 }) => `${number(p50, 1)} / ${number(p99, 1)}`;
/** CPU of all processes. @param {Row} row @param {number} factor @param {number} digits */
const cpu = ({ cpuEach }, factor, digits) =>
  Object.keys(cpuEach).length === 0 ? '–' : number(total(cpuEach) * factor, digits);
/** @param {Record<string, number>} each @param {number} digits */
const parts = (each, digits) =>
  Object.entries(each)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join(', ');
/** @param {Record<string, number>} errors */
const errorsOf = (errors) =>
  Object.entries(errors)
    .map(([reason, count]) => `${count} × ${reason}`)
    .join(', ') || '0';

/** @typedef {[string, (row: Row) => string]} Column */
/** @type {Column} */
const GATEWAY = ['gateway', ({ title }) => title];
/** @type {Column} */
const ERRORS = ['errors', ({ errors }) => errorsOf(errors)];
/** @type {Column} */
const MEMORY = ['memory, MiB', ({ memoryMiB }) => number(memoryMiB, 0)];
/** @type {Column} */
const LOAD_SIDE = ['engine and callers, cores', ({ loadSideCores }) => number(loadSideCores, 2)];

/** @type {Column[]} */
const PLAIN = [
  GATEWAY,
  ['CPU, ms a request', (row) => cpu(row, 1_000, 3)],
  ['each process, ms', ({ cpuEach }) => parts(scaled(cpuEach, 1_000), 3)],
  ['requests/s', ({ rate }) => number(rate, 0)],
  ['p50 / p99, ms', ({ latency }) => pair(latency)],
  MEMORY,
  LOAD_SIDE,
  ERRORS,
];
/** @type {Column[]} */
const STREAMED = [
  GATEWAY,
  ['CPU, µs a chunk', (row) => cpu(row, 1e6, 1)],
  ['while all run', ({ steadyMicroseconds }) => number(steadyMicroseconds, 1)],
  ['each process, µs', ({ cpuEach }) => parts(scaled(cpuEach, 1e6), 1)],
  ['chunks/s', ({ rate }) => number(rate, 0)],
  ['first token p50 / p99, ms', ({ firstToken }) => pair(firstToken)],
  ['gap p50 / p99, ms', ({ gap }) => pair(gap)],
  ['incomplete', ({ incomplete }) => String(incomplete)],
  MEMORY,
  LOAD_SIDE,
  ERRORS,
];
/** @type {Column[]} */
const FIRST_TOKEN = [
  GATEWAY,
  ['first token p50 / p99, ms', ({ firstToken }) => pair(firstToken)],
  ['CPU, ms a stream', (row) => cpu(row, 1_000, 2)],
  ['incomplete', ({ incomplete }) => String(incomplete)],
  ERRORS,
];

/** @param {string} load */
const columnsOf = (load) => (load === 'ttft' ? FIRST_TOKEN : load === 'streams' ? STREAMED : PLAIN);

/** @param {Record<string, number>} each @param {number} factor */
function scaled(each, factor) {
  return Object.fromEntries(Object.entries(each).map(([name, value]) => [name, value * factor]));
}

/** A Markdown table. @param {readonly Column[]} columns @param {readonly Row[]} rows */
export function table(columns, rows) {
  const lines = [
    columns.map(([head]) => head),
    columns.map(() => '---'),
    ...rows.map((row) => columns.map(([, cell]) => cell(row))),
  ];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/**
 * The page of one run.
 * @param {Results} results
 * @param {{ rows: (load: string) => Row[], loads: readonly { name: string, heading: string }[], peers: readonly import('./peers.mjs').Peer[], chart: string }} parts_
 */
export function page({ machine, commands }, { rows, loads, peers, chart }) {
  const { name, cores, model, memoryGiB, node, commit, date, pinned } = machine;
  const notes = peers.flatMap(({ title, version, note = '' }) =>
    version === '' && note === '' ? [] : [`| ${title.replaceAll('*', '')} | ${version} | ${note} |`],
  );
  const sections = loads.map((load) => `## ${load.heading}\n\n${table(columnsOf(load.name), rows(load.name))}`);
  return `# Penstock beside other gateways, ${date}

| machine | cores | processor | memory | Node | commit | processes |
| --- | --- | --- | --- | --- | --- | --- |
| ${name} | ${cores} | ${model} | ${memoryGiB} GiB | ${node} | \`${commit}\` | ${pinned ? 'one core each' : 'share the cores'} |

Commands:

\`\`\`text
${commands.join('\n')}
\`\`\`

Each figure is the mean of the rounds; a p99 is the higher one. CPU counts every process of a gateway and its Redis. [How to read it](../README.md#penstock-beside-its-peers).

![bar charts of the tables below](${chart})

${sections.join('\n\n')}

## Versions

| gateway | version | note |
| --- | --- | --- |
${notes.join('\n')}
`;
}
