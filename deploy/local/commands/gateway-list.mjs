// @ts-check
import { FLAG, HELP_FLAG, TEXT, TEXTS } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { errorIn, firstAnswer } from './ask-gateway.mjs';
import { inColumns } from './columns.mjs';

/** Options of every command that lists what gateways know. */
export const LIST_OPTIONS = {
  key: TEXT,
  state: TEXT,
  json: FLAG,
  'gateway-url': TEXTS,
  'data-dir': TEXT,
  help: HELP_FLAG,
};

/**
 * A list of one of a gateway's internal routes, and how it is printed.
 * @template Row
 * @typedef {object} GatewayList
 * @property {string} path
 * @property {string} member of the answer that has the rows
 * @property {readonly string[]} titles of the columns
 * @property {(row: Row) => string[]} cells
 */

/**
 * Prints a list, one line for each.
 * @template Row
 * @param {GatewayList<Row>} list
 * @param {readonly string[]} gateways
 * @param {{ query: Readonly<Record<string, string | undefined>>, json: boolean | undefined }} asked absent values are not sent
 * @param {(line: string) => unknown} print
 * @returns {Promise<number>} exit code
 * @throws Refusal if no gateway gives it
 */
export async function printList({ path, member, titles, cells }, gateways, { query, json }, print) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) said.set(name, value);
  const { ok, body } = await firstAnswer(gateways, `${path}?${said}`, 'GET');
  const rows = ok && typeof body === 'object' && body !== null ? Reflect.get(body, member) : undefined;
  if (!Array.isArray(rows)) throw new Refusal(`the gateway refused: ${errorIn(body)}`);
  if (json === true) for (const row of rows) print(JSON.stringify(row));
  else print(inColumns([titles, ...rows.map((row) => cells(row))], titles.length));
  return 0;
}
