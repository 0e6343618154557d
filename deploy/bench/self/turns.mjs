// @ts-check
/**
 * @typedef {object} Turn one measurement of one checkout
 * @property {number} count requests, chunks or pictures
 * @property {Record<string, number>} used CPU seconds of each program
 * @property {number} wallSeconds
 *
 * @typedef {'this' | 'other'} Side
 * @typedef {object} Unit
 * @property {string} what one thing that is counted
 * @property {string} unit
 * @property {number} perSecond how many of the unit are one second
 * @property {number} digits
 * @property {number} published digits in a page
 */

/** What a run can measure. @type {Readonly<Record<'requests' | 'streams' | 'durable' | 'picture', Unit>>} */
export const UNITS = {
  requests: { what: 'a non-streamed request', unit: 'ms', perSecond: 1e3, digits: 3, published: 2 },
  streams: { what: 'a streamed chunk', unit: 'µs', perSecond: 1e6, digits: 1, published: 0 },
  durable: { what: 'a chunk with a key', unit: 'µs', perSecond: 1e6, digits: 1, published: 0 },
  picture: { what: 'a picture of 1.5 MB', unit: 'ms', perSecond: 1e3, digits: 1, published: 1 },
};

/**
 * The order of the turns. Each second round has the opposite order, so that a slow drift of the machine favours neither side.
 * @param {number} rounds
 * @param {boolean} compared
 * @returns {Side[]}
 */
export function turnsOf(rounds, compared) {
  /** @type {Side[]} */
  const both = ['this', 'other'];
  if (!compared) return Array.from({ length: rounds }, () => 'this');
  return Array.from({ length: rounds }, (_, i) => (i % 2 === 0 ? both : both.toReversed())).flat();
}

/**
 * CPU time of one thing in each program, all turns together.
 * @param {readonly Turn[]} turns
 * @param {Unit} unit
 * @returns {Record<string, number>} in the unit; `all` is the sum
 */
export function costs(turns, { perSecond }) {
  const count = turns.reduce((sum, turn) => sum + turn.count, 0);
  /** @type {Record<string, number>} */
  const each = {};
  for (const { used } of turns)
    for (const [name, seconds] of Object.entries(used))
      each[name] = (each[name] ?? 0) + (seconds * perSecond) / Math.max(count, 1);
  return { ...each, all: Object.values(each).reduce((sum, one) => sum + one, 0) };
}

/**
 * A table with a column for each checkout, their ratio, and the recorded figures.
 * @param {Unit} unit
 * @param {Partial<Record<Side, Record<string, number>>>} sides
 * @param {import('./recorded.mjs').Recording | undefined} recorded
 * @param {readonly [string, string]} [names] of the sides
 */
export function comparison({ what, unit, digits }, { this: ours = {}, other }, recorded, names) {
  const [own, beside] = names ?? ['this checkout', 'other checkout'];
  const head = [`CPU ${unit} of ${what}`, own];
  if (other !== undefined) head.push(beside, `${own} / ${beside}`.replaceAll(' checkout', ''));
  if (recorded !== undefined) head.push(`recorded ${recorded.date}, ${recorded.commit}`);
  /** @param {number | undefined} value @param {number} places */
  const number = (value, places) => (value === undefined ? '–' : value.toFixed(places));
  const rows = Object.entries(ours).map(([name, value]) => {
    const cells = [name, number(value, digits)];
    const before = other?.[name];
    if (other !== undefined) cells.push(number(before, digits), number(before ? value / before : undefined, 2));
    if (recorded !== undefined) cells.push(number(recorded.costs[name], digits));
    return cells;
  });
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
