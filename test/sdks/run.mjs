// @ts-check
/** `npm run sdks`: the official SDKs, four of them, as clients of a real stack with keys. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pythonVersions, pythonWithSdks } from './python.mjs';

const HELP = `usage: npm run sdks -- [--node]

  --node   without the SDKs for Python, for which a Python environment is made in .cache/sdks
  --help   this text

Prints the versions, what each error is in each SDK, and how many requests one call makes; ends with N passed, N failed.`;

const NPM = ['openai', '@azure-rest/ai-inference', '@azure/core-sse'];
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const { values } = parseArgs({
  options: { node: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
});
process.exitCode = values.help ? help() : check();

function help() {
  console.log(HELP);
  return 0;
}

function check() {
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-sdks-'));
  const file = join(scratch, 'errors');
  try {
    const python = values.node ? {} : { PENSTOCK_SDKS_PYTHON: pythonWithSdks(join(root, '.cache/sdks')) };
    printVersions();
    const files = ['test/e2e/sdks.test.ts', 'test/e2e/answer-endings.test.ts'];
    const test = [join(root, 'deploy/local/test.mjs'), ...files];
    const env = { ...process.env, ...python, PENSTOCK_SDKS_FILE: file };
    /** @type {import('node:child_process').StdioOptions} */
    const stdio = ['ignore', 'pipe', 'inherit'];
    const { status, stdout } = spawnSync(process.execPath, test, { cwd: root, env, stdio, encoding: 'utf8' });
    if (existsSync(file)) printErrors(readFileSync(file, 'utf8'));
    console.log(stdout.trim().split('\n').at(-1));
    return status ?? 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.log('0 passed, 1 failed');
    return 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function printVersions() {
  for (const name of NPM) {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
    console.log(`npm  ${name} ${version}`);
  }
  if (!values.node) for (const line of pythonVersions()) console.log(`PyPI ${line.replace('==', ' ')}`);
}

/** @typedef {{ sdk: string, surface: string, status: string, class: string, code?: string }} Error an error as an SDK gave it */
/** @typedef {{ sdk: string, surface: string, requests: Record<string, number> }} Counted requests that one call made, by status */

/** @param {string} text lines of JSON */
function printErrors(text) {
  /** @type {(Error | Counted)[]} */
  const all = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const counts = all.filter((one) => 'requests' in one);
  const row = (/** @type {string[]} */ cells) =>
    console.log(cells.map((cell, column) => cell.padEnd([31, 9, 14, 27, 23, 0][column] ?? 0)).join(' '));
  row(['sdk', 'surface', 'status', 'class', 'error.code', 'requests']);
  for (const one of all) {
    if ('requests' in one) continue;
    const counted = counts.find(({ sdk, surface }) => sdk === one.sdk && surface === one.surface);
    row([
      one.sdk,
      one.surface,
      String(one.status),
      one.class,
      one.code ?? '',
      String(counted?.requests[one.status] ?? ''),
    ]);
  }
}
