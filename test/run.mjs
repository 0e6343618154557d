// @ts-check
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from '../deploy/local/setup/prepare.mjs';
import { HOW_TO_GET_REDIS, redisProgram } from '../deploy/local/redis/source.mjs';
import { Refusal } from '../deploy/local/setup/refusal.mjs';

/**
 * `npm test`: installs and builds missing parts, finds or installs a Redis server, and runs jest with the given arguments.
 * The last line of its output is `N passed, N failed` and nothing else.
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const scratch = mkdtempSync(join(tmpdir(), 'penstock-test-'));
/** jest writes its report after all tests; a process or connection that a test left would keep it running for ever. */
const LINGER_MS = 30_000;
/** Most tests wait for their processes: with two of them at a time, two cores are idle for half of the time. */
const FEWEST_WORKERS = 3;
let killed = false;
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
  await prepare(root, { say, env: process.env, everything: true });
  const env = await withRedisServer(process.env);
  const report = join(scratch, 'report.json');
  const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const workers = `--maxWorkers=${Math.max(FEWEST_WORKERS, availableParallelism() - 1)}`;
  const jest = [join(root, 'node_modules/jest/bin/jest.js'), '--json', `--outputFile=${report}`, workers];
  const child = spawn(process.execPath, [...flags, ...jest, ...process.argv.slice(2)], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(name, () => child.kill(name));
  /** @type {Promise<number>} */
  const ended = new Promise((done) => child.once('exit', (exitCode) => done(exitCode ?? 1)));
  const lingering = setInterval(() => endLingering(child, report), 1_000);
  const code = await ended;
  clearInterval(lingering);
  const { passed, failed } = countsIn(report);
  say(`${passed} passed, ${failed} failed`);
  return failed > 0 || (code !== 0 && !killed) ? code || 1 : 0;
}

/** @param {import('node:child_process').ChildProcess} child @param {string} report */
function endLingering(child, report) {
  if (killed || !existsSync(report) || Date.now() - statSync(report).mtimeMs < LINGER_MS) return;
  killed = true;
  say('jest did not exit: a test left a process or a connection open');
  child.kill('SIGKILL');
}

/**
 * The tests start `redis-server` by this name; a valkey-server also works.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<NodeJS.ProcessEnv>}
 * @throws Refusal if neither exists and none can be installed
 */
async function withRedisServer(env) {
  const server = await redisProgram({ env, root: process.getuid?.() === 0, say });
  if (server === undefined) throw new Refusal(HOW_TO_GET_REDIS);
  if (basename(server) === 'redis-server') return env;
  symlinkSync(server, join(scratch, 'redis-server'));
  return { ...env, PATH: `${scratch}${delimiter}${env['PATH'] ?? ''}` };
}

/**
 * A file that could not be loaded counts as one failed test.
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
