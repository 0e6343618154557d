// @ts-check
/**
 * `npm run fuzz`: schemathesis generates valid and invalid requests from `/openapi.json`, and checks every
 * answer of a real stack: no 5xx, no undocumented status, content type or header. Bodies and events of streams
 * must match their schemas, invalid requests must be refused, keys must be required. All of it runs on loopback.
 * The last line is `N passed, N failed`: requests.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Stack } from '../drill/stack.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, '../..');
const CACHE = join(ROOT, '.cache/fuzz');
const LIMIT_MS = 300_000;
const Report = z.object({
  test_cases: z.object({ generated: z.number(), with_failures: z.number(), errored: z.number() }),
  operations: z.object({ selected: z.number(), tested: z.number() }),
  exit_code: z.number(),
});

const scratch = mkdtempSync(join(tmpdir(), 'penstock-fuzz-'));
try {
  process.exitCode = await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main() {
  const tool = install();
  const keys = join(scratch, 'keys.yaml');
  const penstock = join(ROOT, 'deploy/local/penstock.mjs');
  const key = run(process.execPath, [penstock, 'keys', 'create', '--file', keys, '--id', 'fuzz']).trim();
  const stack = await Stack.start({ gatewayEnv: { GATEWAY_KEYS_FILE: keys, GATEWAY_TOKENIZE: 'true' } });
  try {
    const { url = '' } = stack.gateways[0] ?? {};
    return await fuzz(tool, `${url}/openapi.json`, key);
  } finally {
    await stack.stop();
  }
}

/** @param {string} tool @param {string} document @param {string} key */
async function fuzz(tool, document, key) {
  const report = join(scratch, 'report.json');
  const args = [
    '--config-file',
    join(HERE, 'schemathesis.toml'),
    'run',
    document,
    '-H',
    `Authorization: Bearer ${key}`,
  ];
  const options = { cwd: scratch, stdio: /** @type {const} */ ('inherit'), timeout: LIMIT_MS };
  const child = spawn(tool, [...args, '--report', 'json', '--report-json-path', report], options);
  const signal = await new Promise((done) => child.once('exit', (_code, by) => done(by)));
  if (signal !== null || !existsSync(report)) {
    console.log(`schemathesis did not finish within ${LIMIT_MS / 1_000} s\n0 passed, 1 failed`);
    return 1;
  }
  const { test_cases: cases, operations, exit_code } = Report.parse(JSON.parse(readFileSync(report, 'utf8')));
  const skipped = operations.selected - operations.tested;
  const failed = Math.max(cases.with_failures + cases.errored + skipped, exit_code === 0 ? 0 : 1);
  console.log(`${operations.tested} operations`);
  console.log(`${cases.generated - cases.with_failures} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** schemathesis and its dependencies, pinned; recreated when the pins change. Needs a `python3` with `venv`. */
function install() {
  const pins = readFileSync(join(HERE, 'requirements.txt'), 'utf8');
  const mark = join(CACHE, 'installed.txt');
  if (!existsSync(mark) || readFileSync(mark, 'utf8') !== pins) {
    console.log(`installing schemathesis into ${CACHE} …`);
    rmSync(CACHE, { recursive: true, force: true });
    run('python3', ['-m', 'venv', CACHE]);
    run(join(CACHE, 'bin/pip'), ['install', '--quiet', '--requirement', join(HERE, 'requirements.txt')]);
    // Last, so that half an installation does not count as complete.
    writeFileSync(mark, pins);
  }
  return join(CACHE, 'bin/schemathesis');
}

/** @param {string} file @param {readonly string[]} argv @returns {string} its standard output */
function run(file, argv) {
  const { status, stdout, stderr } = spawnSync(file, argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ended with ${status}:\n${stderr.trim().slice(-2_000)}`);
  return stdout;
}
