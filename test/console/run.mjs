// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HELP = `usage: npm run console:e2e -- [--screenshots]

Drives the console in a Chromium without a window, before a real stack, and prints what it saw. The last line is
\`N passed, N failed\`. \`npm test\` has a short form.

  --screenshots  also writes a picture of each page to deploy/observability/console, light and dark, phone and desktop
`;
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const pictures = join(root, 'deploy/observability/console');
/** @type {(line: string) => void} */
const say = (line) => void process.stdout.write(`${line}\n`);
const { values: asked } = parseArgs({ options: { screenshots: { type: 'boolean' }, help: { type: 'boolean' } } });
if (asked.help === true) say(HELP.trimEnd());
else check();

function check() {
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-console-'));
  const file = join(scratch, 'seen.tsv');
  try {
    if (asked.screenshots === true) mkdirSync(pictures, { recursive: true });
    const env = {
      ...process.env,
      PENSTOCK_TEST_FULL_LENGTH: 'true',
      PENSTOCK_CONSOLE_FILE: file,
      ...(asked.screenshots === true ? { PENSTOCK_CONSOLE_SCREENSHOTS: pictures } : {}),
    };
    const test = [join(root, 'test/run.mjs'), 'test/e2e/console.test.ts', '--silent'];
    const { status, stderr } = spawnSync(process.execPath, test, { cwd: root, env, encoding: 'utf8' });
    const rows = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
    for (const row of rows) say(row.replaceAll('\t', '  '));
    const failed = rows.filter((row) => !row.startsWith('passed')).length;
    // The test runner reports a check that did not start.
    const unseen = failed === 0 && status !== 0 ? 1 : 0;
    if (unseen > 0) say(stderr.slice(-4_000));
    say(`${rows.length - failed} passed, ${failed + unseen} failed`);
    process.exitCode = status ?? 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
