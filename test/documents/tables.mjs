// @ts-check
import { hostname, tmpdir } from 'node:os';

/** Tables of pages that are made from the programs: their settings and their metrics. */

/**
 * @param {string} prefix of the settings
 * @param {string} source of the program's `config.ts`, where a comment before each setting says what it does
 * @param {(env: Record<string, string>) => object} loadConfig
 * @returns {string} a row per setting; those without a comment of their own stand in the row before
 * @throws Error when the first setting has no comment
 */
export function settingsTable(prefix, source, loadConfig) {
  const required = `${prefix}REDIS_URL`;
  /** @type {Record<string, unknown>} */
  const defaults = { ...loadConfig({ [required]: 'redis://127.0.0.1' }) };
  /** @type {{ names: string[], standard: string, what: string }[]} */
  const rows = [];
  for (const [, comment, name = ''] of source.matchAll(
    /^(?: {2}\/\*\*((?:(?!\*\/)[^])*)\*\/\n)? {2}([A-Z]+_[A-Z_]+):/gm,
  )) {
    const last = rows.at(-1);
    if (comment !== undefined) {
      const { what, standard } = partsOf(comment);
      const known = name === required ? 'required' : standardOf(name, defaults[name]);
      rows.push({ names: [name], standard: standard ?? known, what });
    } else if (last === undefined) throw new Error(`${name} has no comment`);
    else last.names.push(name);
  }
  return table(
    ['setting', 'default', 'what it does'],
    rows.map(({ names, standard, what }) => [names.map((name) => `\`${name}\``).join(', '), standard, what]),
  );
}

/**
 * @typedef {{ name: string, help: string, type: string, labels: readonly string[] }} Metric
 * @param {readonly Metric[]} gateway
 * @param {readonly Metric[]} launcher
 * @returns {string} a row per metric, those of the gateway first
 */
export function metricsTable(gateway, launcher) {
  const both = new Set(gateway.map(({ name }) => name).filter((name) => launcher.some((one) => one.name === name)));
  /** @param {Metric} metric @param {string} program */
  const row = ({ name, help, type, labels }, program) => [
    `\`${name}\``,
    both.has(name) ? 'both' : program,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    `${help.slice(0, 1).toLowerCase()}${help.slice(1)}`,
  ];
  return table(
    ['metric', 'program', 'type', 'labels', 'what it counts'],
    [
      ...gateway.filter(({ name }) => !both.has(name)).map((metric) => row(metric, 'gateway')),
      ...launcher.filter(({ name }) => !both.has(name)).map((metric) => row(metric, 'launcher')),
      ...gateway.filter(({ name }) => both.has(name)).map((metric) => row(metric, 'both')),
    ],
  );
}

/** @param {string} name @param {unknown} value */
function standardOf(name, value) {
  if (value === undefined || value === '') return 'none';
  if (typeof value === 'object') return Object.keys(value ?? {}).length === 0 ? 'none' : JSON.stringify(value);
  if (typeof value !== 'number')
    return `\`${String(value).replace(tmpdir(), '/tmp').replace(hostname(), 'HOSTNAME')}\``;
  if (name.endsWith('_PORT')) return String(value);
  const unit = name.endsWith('_MS') ? ' ms' : name.endsWith('_BYTES') ? ' bytes' : '';
  return `${value.toLocaleString('en-US')}${unit}`;
}

/**
 * A comment may end with what counts where the setting is absent: `; default: vLLM's own`.
 * @param {string} comment what stands between its marks
 * @returns {{ what: string, standard?: string }}
 * @throws Error when it mentions a default elsewhere
 */
function partsOf(comment) {
  const text = comment
    .replaceAll(/\n\s*\*?/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .replaceAll(/(?<![`\w])(?:GATEWAY|WORKER)_[A-Z_]+(?![`\w])/g, '`$&`');
  const [, what = text, standard] = /^(.*?)[;,.] (?:default|absent):? ((?:[^.;]|\.\d)+)\.?$/i.exec(text) ?? [];
  if (standard !== undefined) return { what, standard };
  if (/\b(absent|default)\b/i.test(text)) throw new Error(`a default stands at the end of its comment: ${text}`);
  return { what };
}

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
function table(head, rows) {
  /** @param {readonly string[]} cells */
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
