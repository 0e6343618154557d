// @ts-check
/** `npm run sdks`: the official SDKs, four of them, and further clients against real stacks with keys. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { newerOpenai, nodeClients } from './node-clients.mjs';
import { printClients, printErrors } from './print.mjs';
import { olderOpenai, pythonClients, pythonVersions, pythonWithSdks } from './python.mjs';

const HELP = `usage: npm run sdks -- [--node]

  --node   without the SDKs and clients for Python, for which Python environments are made
  --help   this text

What is not in node_modules is installed in .cache/sdks. Prints the versions; what each error is in each SDK, and how
many requests one call makes; what each further client was tried with, and where it falls short. Runs the blocks in Python of
the pages. Ends with N passed, N failed.`;

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
    const cache = join(root, '.cache/sdks');
    const python = values.node ? {} : { PENSTOCK_SDKS_PYTHON: pythonWithSdks(join(cache, 'python')) };
    /** @type {Record<string, import('./clients.ts').Runtime>} */
    const runtimes = { node: nodeClients(join(cache, 'node')), ...(values.node ? {} : pythonClients(cache)) };
    const others = [
      newerOpenai(join(cache, 'openai-newer')),
      ...(values.node ? [] : [olderOpenai(join(cache, 'openai-older'))]),
    ];
    printVersions();
    const files = ['sdks', 'sdk-answers', 'sdk-clients', 'answer-endings', 'documents'].map(
      (name) => `test/e2e/${name}.test.ts`,
    );
    const test = [join(root, 'test/run.mjs'), ...files];
    const told = {
      PENSTOCK_SDKS_RUNTIMES: JSON.stringify(runtimes),
      PENSTOCK_SDKS_OTHERS: JSON.stringify(others),
      PENSTOCK_SDKS_FILE: file,
    };
    const env = { ...process.env, ...python, ...told };
    /** @type {import('node:child_process').StdioOptions} */
    const stdio = ['ignore', 'pipe', 'inherit'];
    const { status, stdout } = spawnSync(process.execPath, test, { cwd: root, env, stdio, encoding: 'utf8' });
    if (existsSync(file)) print(readFileSync(file, 'utf8'));
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

/** @param {string} text lines of JSON, of tests that know nothing of each other */
function print(text) {
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  printErrors(lines.filter((one) => 'sdk' in one));
  printClients(lines.filter((one) => 'client' in one));
}

function printVersions() {
  for (const name of NPM) {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
    console.log(`npm  ${name} ${version}`);
  }
  if (!values.node) for (const line of pythonVersions()) console.log(`PyPI ${line.replace('==', ' ')}`);
}
