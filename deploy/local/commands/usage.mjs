// @ts-check
import { ask } from '../up/readiness.mjs';
import { FLAG, HELP_FLAG, readOptions, TEXT, TEXTS } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { inColumns } from './columns.mjs';
import { urlsOfPrograms } from './program-urls.mjs';

const USAGE_HELP = `penstock usage: what each key used of each model on each day (UTC)

  --key ID           only this key
  --model M          only this model
  --since DAY        first day, such as 2026-11-30    (all days that are kept)
  --json             print one JSON object per line
  --csv              print comma-separated values with a header
  --gateway-url URL  internal port of a gateway, such as http://127.0.0.1:8081
  --data-dir DIR     data folder of penstock up, used if no URL is given   (.penstock)
  --help             print this help

Without --json and --csv it prints sums of all days. deploy/README.md explains the counts.
Exit code 0: printed; 2: no gateway answers, or a wrong option.
`;

const OPTIONS = {
  key: TEXT,
  model: TEXT,
  since: TEXT,
  json: FLAG,
  csv: FLAG,
  'gateway-url': TEXTS,
  'data-dir': TEXT,
  help: HELP_FLAG,
};

/** Timeout in milliseconds: a long time of many keys is thousands of reads. */
const ANSWER_WITHIN_MS = 30_000;
const NOBODY = 2;

/** @typedef {import('../../../gateway/usage/usage-report.ts').UsageRow} Row */

/** Columns of the sums, and the count of each. */
const SUMS = /** @type {const} */ ([
  ['requests', 'requests'],
  ['prompt', 'prompt_tokens'],
  ['picture', 'picture_tokens'],
  ['answer', 'answer_tokens'],
  ['partial', 'partial_tokens'],
  ['repeated', 'repeated_tokens'],
  ['refused', 'refusals'],
]);

/**
 * @param {readonly string[]} args arguments after `usage`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function usageCommand(args, { cwd, print, say }) {
  try {
    const { values: asked } = readOptions('penstock usage', args, OPTIONS, 0);
    if (asked.help === true) return print(USAGE_HELP.trimEnd());
    const rows = await usageOf(asked, cwd);
    if (asked.json === true) for (const row of rows) print(JSON.stringify(row));
    else print(asked.csv === true ? csv(rows) : sums(rows));
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOBODY;
  }
}

/**
 * All gateways report the same usage, so the first one that answers is enough.
 * @param {{ key?: string, model?: string, since?: string, 'gateway-url'?: string[], 'data-dir'?: string }} asked
 * @param {string} cwd
 * @returns {Promise<readonly Row[]>}
 */
async function usageOf(asked, cwd) {
  const { gateways } = urlsOfPrograms(asked, cwd);
  const query = new URLSearchParams();
  for (const name of /** @type {const} */ (['key', 'model', 'since'])) {
    const value = asked[name];
    if (value !== undefined) query.set(name, value);
  }
  for (const url of gateways) {
    const answer = await ask(`${url}/usage?${query}`, ANSWER_WITHIN_MS);
    if (answer?.ok === true && isReport(answer.body)) return answer.body.usage;
    if (isRefusal(answer?.body)) throw new Refusal(`the gateway at ${url} refused: ${answer.body.error}`);
  }
  throw new Refusal(`no gateway answers at ${gateways.join(', ')}: check that these are internal ports`);
}

/** @param {unknown} body @returns {body is { usage: readonly Row[] }} */
function isReport(body) {
  return typeof body === 'object' && body !== null && 'usage' in body && Array.isArray(body.usage);
}

/** @param {unknown} body @returns {body is { error: string }} */
function isRefusal(body) {
  return typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'string';
}

/** @param {readonly Row[]} rows */
function csv(rows) {
  const names = Object.keys(rows[0] ?? { day: '', key: '', model: '' });
  return [names, ...rows.map((row) => Object.values(row).map(cell))].map((cells) => cells.join(',')).join('\n');
}

/** @param {string | number} value */
function cell(value) {
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One line for each key and model. @param {readonly Row[]} rows */
function sums(rows) {
  /** @type {Map<string, Row[]>} */
  const groups = new Map();
  for (const row of rows) {
    const name = `${row.key} ${row.model}`;
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const of = (/** @type {readonly Row[]} */ group, /** @type {Exclude<keyof Row, 'day' | 'key' | 'model'>} */ count) =>
    group.reduce((sum, row) => sum + row[count], 0);
  const lines = [...groups.values()].map((group) => [
    group[0]?.key ?? '',
    group[0]?.model ?? '',
    ...SUMS.map(([, count]) => String(of(group, count))),
    (of(group, 'slot_ms') / 1_000).toFixed(1),
  ]);
  return inColumns([['key', 'model', ...SUMS.map(([title]) => title), 'slot s'], ...lines], 2);
}
