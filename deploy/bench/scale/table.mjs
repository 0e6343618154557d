// @ts-check
/**
 * @typedef {import('../compare/measure.mjs').Measured} Measured
 * @typedef {object} Row
 * @property {string} title
 * @property {number} [offered] a second
 * @property {Measured} measured
 */

/** `gateway 2` is one of the gateways. @param {string} name */
const kindOf = (name) => name.replace(/ \d+$/, '');

/** Values of processes of one kind together. @param {Record<string, number>} each @returns {Record<string, number>} */
export function byKind(each) {
  /** @type {Record<string, number>} */
  const sums = {};
  for (const [name, value] of Object.entries(each)) sums[kindOf(name)] = (sums[kindOf(name)] ?? 0) + value;
  return sums;
}

/** @param {number | null} value @param {number} digits */
const number = (value, digits) => (value === null ? '–' : value.toFixed(digits));
/** @param {Record<string, number>} each */
const sum = (each) => Object.values(each).reduce((all, one) => all + one, 0);

/** Rates, and the cores that each kind of process used, while all callers run. @param {string} what @param {readonly Row[]} rows */
export function ratesTable(what, rows) {
  const kinds = [...new Set(rows.flatMap(({ measured }) => Object.keys(byKind(measured.cpu))))];
  const streamed = rows.some(({ measured }) => measured.figures.chunks > 0);
  const head = [
    'gateways × dispatchers',
    `${what} offered`,
    'carried',
    ...(streamed ? ['new streams/s'] : []),
    ...kinds.map((kind) => `${kind}, cores`),
    'all, cores',
    'engine and callers, cores',
    ...(streamed ? ['first token p50 / p99, ms', 'gap p50 / p99, ms', 'incomplete'] : ['p50 / p99, ms']),
    'errors',
  ];
  const lines = rows.map(({ title, offered, measured }) => {
    const { figures, steady, cpu, loadSide } = measured;
    const seconds = steady?.seconds ?? figures.wallSeconds;
    const used = byKind(steady?.cpu ?? cpu);
    const answers = (steady?.answers ?? figures.ok) / seconds;
    const done = streamed ? (steady?.chunks ?? figures.chunks) / seconds : answers;
    /** @param {import('../compare/measure.mjs').Times} times */
    const pair = ({ p50, p99 }) => `${number(p50, 1)} / ${number(p99, 1)}`;
    return [
      title,
      offered === undefined ? 'as many as fit' : number(offered, 0),
      number(done, 0),
      ...(streamed ? [number(answers, 0)] : []),
      ...kinds.map((kind) => number((used[kind] ?? 0) / seconds, 2)),
      number(sum(used) / seconds, 2),
      number(loadSide / figures.wallSeconds, 2),
      ...(streamed
        ? [pair(figures.firstToken), pair(figures.gap), String(figures.incomplete)]
        : [pair(figures.latency)]),
      Object.entries(figures.errors)
        .map(([reason, count]) => `${count} × ${reason}`)
        .join(', ') || '0',
    ];
  });
  return table(head, lines);
}

/**
 * Resident memory of each process at two times.
 * @param {readonly [string, string]} when
 * @param {Record<string, number>} first MiB
 * @param {Record<string, number>} last MiB
 */
export function memoryTable(when, first, last) {
  const rows = [...Object.keys(last), 'all'].map((name) => {
    const [before, after] = name === 'all' ? [sum(first), sum(last)] : [first[name] ?? 0, last[name] ?? 0];
    return [name, before.toFixed(0), after.toFixed(0), (after - before).toFixed(0)];
  });
  return table(['process', `${when[0]}, MiB`, `${when[1]}, MiB`, 'more, MiB'], rows);
}

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
