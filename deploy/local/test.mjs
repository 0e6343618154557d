// @ts-check
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from './prepare.mjs';
import { HOW_TO_GET_REDIS, redisProgram } from './redis-source.mjs';
import { Refusal } from './refusal.mjs';

/**
 * `npm test`: installs and builds what is missing, sees to a Redis server, and runs jest with the arguments given.
 * The last line of its output is `N passed, N failed` and nothing else.
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const scratch = mkdtempSync(join(tmpdir(), 'penstock-test-'));
/** @param {string} line */
const say = (line) => void process.stdout.write(`${line}\n`);

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`penstock: ${error.message}\n`);
  say('0 passed, 1 failed');
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @returns {Promise<number>} exit code of jest */
async function main() {
  await prepare(root, { say, env: process.env });
  const env = await withRedisServer(process.env);
  const report = join(scratch, 'report.json');
  const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const jest = [join(root, 'node_modules/jest/bin/jest.js'), '--json', `--outputFile=${report}`];
  const child = spawn(process.execPath, [...flags, ...jest, ...process.argv.slice(2)], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(name, () => child.kill(name));
  /** @type {number} */
  const code = await new Promise((done) => child.once('exit', (exitCode) => done(exitCode ?? 1)));
  const { passed, failed } = countsIn(report);
  say(`${passed} passed, ${failed} failed`);
  return failed > 0 && code === 0 ? 1 : code;
}

/**
 * The tests start `redis-server` by this name; a valkey-server serves them as well.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<NodeJS.ProcessEnv>}
 * @throws Refusal when there is none and none can be installed
 */
async function withRedisServer(env) {
  const server = await redisProgram({ env, root: process.getuid?.() === 0, say });
  if (server === undefined) throw new Refusal(HOW_TO_GET_REDIS);
  if (basename(server) === 'redis-server') return env;
  symlinkSync(server, join(scratch, 'redis-server'));
  return { ...env, PATH: `${scratch}${delimiter}${env['PATH'] ?? ''}` };
}

/**
 * A file that could not be loaded has no tests to count and counts as one that failed.
 * @param {string} report written by jest
 */
function countsIn(report) {
  try {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(readFileSync(report, 'utf8'));
    return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
  } catch {
    return { passed: 0, failed: 1 };
  }
}
