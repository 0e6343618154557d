// @ts-check
/**
 * `npm run conformance:azure`: sends every row of the files beside this one to a real stack, like the test, and prints
 * the answers that differ from the files.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';

const HELP = `usage: npm run conformance:azure -- [--only PREFIX] [--verbose]

  --only PREFIX   rows whose id begins so, such as S1, P.max, X.drop
  --verbose       also what each met row follows
  --help          print this help

The rows are data: test/azure-conformance/expected/*.yaml. Where Penstock deviates from Azure on purpose, a row gives a
number of decisions.yaml; dropped.yaml says which lines have no row, and why. Exit code 1 if a row is not met.`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
process.exitCode = values.help ? help() : check();

function help() {
  console.log(HELP);
  return 0;
}

/** @typedef {{ id: string, follows: string, says: string, request: string, differences: string[] }} Told */

function check() {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = resolve(here, '../..');
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-azure-'));
  const file = join(scratch, 'rows');
  try {
    const test = [join(root, 'test/run.mjs'), 'test/e2e/azure-conformance.test.ts', '--silent'];
    const env = { ...process.env, PENSTOCK_AZURE_ROWS: values.only, PENSTOCK_AZURE_ROWS_FILE: file };
    const ran = spawnSync(process.execPath, test, { cwd: root, env, encoding: 'utf8' });
    if (!existsSync(file)) {
      console.log(ran.status === 0 ? `no row id begins with ${values.only}` : `${ran.stdout}\n${ran.stderr}`);
      return 1;
    }
    /** @type {Told[]} */
    const rows = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const row of rows) print(row);
    const met = rows.filter(({ differences }) => differences.length === 0).length;
    if (values.only === '') printDropped(join(here, 'dropped.yaml'));
    console.log(`matched ${met} of ${rows.length}`);
    return met === rows.length ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @param {Told} row */
function print({ id, follows, says, request, differences }) {
  if (differences.length === 0 && !values.verbose) return;
  console.log(`${differences.length === 0 ? 'met    ' : 'NOT MET'} ${id} | ${request} | ${follows}: ${says}`);
  for (const difference of differences) console.log(`          ${difference}`);
}

/** @param {string} file */
function printDropped(file) {
  /** @type {{ line: string, why: string }[]} */
  const dropped = parse(readFileSync(file, 'utf8'));
  console.log('lines without a row:');
  for (const { line, why } of dropped) console.log(`  ${line}: ${why}`);
}
