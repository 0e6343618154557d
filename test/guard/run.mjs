// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * `npm run guard`: attacks a real stack with every family of checks at full length, and prints
 * the attacks and the measurements. All of it on this machine's loopback, each check with a timeout. `npm test` runs the
 * same in a short form. The last line is `N passed, N failed`.
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const scratch = mkdtempSync(join(tmpdir(), 'penstock-guard-'));
const file = join(scratch, 'seen.tsv');
/** @type {(line: string) => void} */
const say = (line) => console.log(line);
try {
  const test = [join(root, 'test/run.mjs'), 'test/e2e/guard.test.ts', '--silent'];
  const env = { PENSTOCK_TEST_FULL_LENGTH: 'true', ...process.env, PENSTOCK_GUARD_FILE: file };
  const { status, stderr } = spawnSync(process.execPath, test, {
    cwd: root,
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const rows = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  const seen = rows.map((line) => line.split('\t'));
  for (const [row = '', name = '', sent = '', outcome = '', figure = ''] of seen)
    say(`${row.padEnd(4)} ${outcome}  ${name} (${sent}): ${figure}`);
  const failed = seen.filter(([, , , outcome]) => outcome !== 'passed').length;
  // The test runner reports a check that did not start.
  const unseen = failed === 0 && status !== 0 ? 1 : 0;
  if (unseen > 0) say(stderr.slice(-4_000));
  say(`${seen.length - failed} passed, ${failed + unseen} failed`);
  process.exitCode = status ?? 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
