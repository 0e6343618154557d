// @ts-check
/**
 * @typedef {object} Run one load on one peer in one round
 * @property {number} round
 * @property {string} peer
 * @property {string} load
 * @property {import('./measure.mjs').Measured} [measured]
 * @property {string} [problem] why it has no figures
 *
 * @typedef {object} Machine
 * @property {string} name @property {number} cores @property {string} model of the processor
 * @property {number} memoryGiB @property {string} node @property {string} commit @property {string} date
 * @property {boolean} pinned
 *
 * @typedef {object} Results
 * @property {Machine} machine
 * @property {string[]} commands
 * @property {Run[]} runs
 *
 * @typedef {object} Row the rounds of one peer under one load together
 * @property {string} title
 * @property {Record<string, number>} cpuEach seconds a request or chunk, by process
 * @property {number | null} rate a second
 * @property {{ p50: number | null, p99: number | null }} latency
 * @property {{ p50: number | null, p99: number | null }} firstToken
 * @property {{ p50: number | null, p99: number | null }} gap
 * @property {number | null} steadyMicroseconds
 * @property {number} incomplete
 * @property {number | null} memoryMiB
 * @property {number | null} loadSideCores cores that the engine and the callers used
 * @property {Record<string, number>} errors
 */

/** @param {Record<string, number>} each */
export function total(each) {
  return Object.values(each).reduce((sum, one) => sum + one, 0);
}

/** @param {readonly (number | null)[]} values @returns {number | null} */
function mean(values) {
  const known = values.filter((one) => one !== null);
  return known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0) / known.length;
}

/** @param {readonly (number | null)[]} values @returns {number | null} */
function highest(values) {
  const known = values.filter((one) => one !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** @param {readonly { p50: number | null, p99: number | null }[]} rounds */
function times(rounds) {
  return { p50: mean(rounds.map(({ p50 }) => p50)), p99: highest(rounds.map(({ p99 }) => p99)) };
}

/** @param {readonly Record<string, number>[]} all */
function sums(all) {
  /** @type {Record<string, number>} */
  const sum = {};
  for (const one of all) for (const [name, value] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + value;
  return sum;
}

/** CPU time of a chunk while all streams run. @param {import('./measure.mjs').Measured} measured */
function microseconds({ steady }) {
  return steady === null || steady.chunks === 0 || Object.keys(steady.cpu).length === 0
    ? null
    : (1e6 * total(steady.cpu)) / steady.chunks;
}

/**
 * One row from the rounds of one peer under one load.
 * @param {string} title
 * @param {readonly Run[]} runs
 * @returns {Row}
 */
export function rowOf(title, runs) {
  const measured = runs.flatMap((run) => (run.measured === undefined ? [] : [run.measured]));
  const figures = measured.map((one) => one.figures);
  /** @param {import('./measure.mjs').Measured['figures']} one */
  const done = (one) => (one.chunks > 0 ? one.chunks : one.ok);
  const all = figures.reduce((sum, one) => sum + done(one), 0);
  const cpu = sums(measured.map((one) => one.cpu));
  const problems = runs.flatMap(({ problem }) => (problem === undefined ? [] : [{ [problem]: 1 }]));
  return {
    title,
    cpuEach: all === 0 ? {} : Object.fromEntries(Object.entries(cpu).map(([name, seconds]) => [name, seconds / all])),
    rate: mean(figures.map((one) => done(one) / one.wallSeconds)),
    latency: times(figures.map(({ latency }) => latency)),
    firstToken: times(figures.map(({ firstToken }) => firstToken)),
    gap: times(figures.map(({ gap }) => gap)),
    steadyMicroseconds: mean(measured.map(microseconds)),
    incomplete: figures.reduce((sum, one) => sum + one.incomplete, 0),
    memoryMiB: highest(measured.map((one) => one.memoryMiB || null)),
    loadSideCores: mean(measured.map((one) => one.loadSide / one.figures.wallSeconds)),
    errors: sums([...figures.map(({ errors }) => errors), ...problems]),
  };
}

/**
 * Adds the runs of a part to those before it. A run of the same round, peer and load replaces the older one.
 * @param {Results | undefined} before
 * @param {Results} part
 * @returns {Results}
 * @throws Error if both are from different machines or commits
 */
export function merge(before, part) {
  if (before === undefined) return part;
  for (const key of /** @type {const} */ (['name', 'cores', 'model', 'commit', 'node']))
    if (before.machine[key] !== part.machine[key])
      throw new Error(
        `the earlier parts have ${key} ${before.machine[key]}, this one has ${part.machine[key]}: give this run another --name`,
      );
  /** @param {Run} run */
  const key = ({ round, peer, load }) => `${round} ${peer} ${load}`;
  const runs = new Map([...before.runs, ...part.runs].map((run) => [key(run), run]));
  return {
    machine: before.machine,
    commands: [...new Set([...before.commands, ...part.commands])],
    runs: [...runs.values()],
  };
}
