// @ts-check
/**
 * @typedef {{ title: string, value: number | null }} Bar
 * @typedef {{ title: string, digits: number, bars: readonly Bar[] }} Panel
 */
const WIDTH = 760;
const LABEL = 230;
const BAR = 16;
const GAP = 6;
const HEAD = 34;
const FOOT = 18;
const VALUE = 80;

/** @param {string} text */
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/**
 * Bar charts below each other, each with its own scale. Penstock's bar has another colour.
 * @param {readonly Panel[]} panels
 * @returns {string} an SVG document
 */
export function chart(panels) {
  const heights = panels.map(({ bars }) => HEAD + bars.length * (BAR + GAP) + FOOT);
  let top = 0;
  const parts = panels.map(({ title, digits, bars }, index) => {
    const most = Math.max(...bars.map(({ value }) => value ?? 0), Number.MIN_VALUE);
    const rows = bars.map((bar, row) => {
      const y = HEAD + row * (BAR + GAP);
      const width = ((WIDTH - LABEL - VALUE) * (bar.value ?? 0)) / most;
      const ours = bar.title.includes('Penstock');
      const name = escaped(bar.title.replaceAll('*', ''));
      const value = bar.value === null ? 'no figure' : bar.value.toFixed(digits);
      return [
        `<text x="${LABEL - 8}" y="${y + 12}" text-anchor="end"${ours ? ' font-weight="bold"' : ''}>${name}</text>`,
        `<rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${ours ? '#0b6e99' : '#9aa5b1'}"/>`,
        `<text x="${(LABEL + width + 6).toFixed(1)}" y="${y + 12}">${value}</text>`,
      ].join('');
    });
    const group = `<g transform="translate(0 ${top})"><text x="8" y="20" font-weight="bold">${escaped(title)}</text>${rows.join('')}</g>`;
    top += heights[index] ?? 0;
    return group;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`;
}

/**
 * The panels of the page: less is better in each.
 * @param {(load: string) => import('./merge.mjs').Row[]} rows
 * @param {(each: Record<string, number>) => number} total
 * @returns {Panel[]} without loads that were not run
 */
export function panels(rows, total) {
  /** @param {import('./merge.mjs').Row} row @param {number} factor */
  const cpu = ({ cpuEach }, factor) => (Object.keys(cpuEach).length === 0 ? null : total(cpuEach) * factor);
  /** @type {[string, string, number, (row: import('./merge.mjs').Row) => number | null][]} */
  const all = [
    ['c256', 'CPU, ms a non-streamed request, 256 at a time', 3, (row) => cpu(row, 1_000)],
    ['streams', 'CPU, µs a streamed chunk', 1, (row) => cpu(row, 1e6)],
    ['picture', 'CPU, ms a picture of 1.5 MB', 2, (row) => cpu(row, 1_000)],
    ['streams', 'gap between chunks, p99, ms', 1, ({ gap }) => gap.p99],
    ['ttft', 'time to the first token, idle, p50, ms', 1, ({ firstToken }) => firstToken.p50],
  ];
  return all.flatMap(([load, title, digits, valueOf]) => {
    const bars = rows(load).map((row) => ({ title: row.title, value: valueOf(row) }));
    return bars.length === 0 ? [] : [{ title, digits, bars }];
  });
}
