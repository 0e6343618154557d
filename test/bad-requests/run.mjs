// @ts-check
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * `npm run bad-requests`: sends every request of the table to a running stack, like the test, and prints the
 * expected and the seen answers. Exit code 1 if one differs.
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const scratch = mkdtempSync(join(tmpdir(), 'penstock-bad-requests-'));
const file = join(scratch, 'seen.tsv');
try {
  const test = [join(root, 'test/run.mjs'), 'test/e2e/bad-requests.test.ts', '--silent'];
  const env = { ...process.env, PENSTOCK_BAD_REQUESTS_FILE: file };
  const { status } = spawnSync(process.execPath, test, { cwd: root, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const rows = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split('\t'));
  print(rows);
  process.exitCode = status ?? 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @param {string[][]} rows fault, request, expected, seen (for `/score` 424 and the status behind it), named field, jobs added */
function print(rows) {
  const table = [['fault', 'request', 'expected', 'seen', 'names', 'jobs'], ...rows];
  const widths = [50, 50, 30, 30, 52, 4];
  for (const row of table) console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' '));
  const asExpected = rows.filter(([, , expected, seen, , jobs]) => expected === seen && jobs === '0').length;
  const faults = new Set(rows.map(([fault]) => fault)).size;
  console.log(`${asExpected} of ${rows.length} bad requests answered as expected; ${faults} kinds of fault`);
}
