// @ts-check

/**
 * Lines of cells as a table.
 * @param {readonly (readonly string[])[]} lines the first one has the titles
 * @param {number} names how many columns on the left are names; the others are numbers
 */
export function inColumns(lines, names) {
  const widths = lines[0]?.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0))) ?? [];
  const shown = (/** @type {string} */ text, /** @type {number} */ at) =>
    at < names ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0);
  return lines.map((line) => line.map(shown).join('  ').trimEnd()).join('\n');
}
