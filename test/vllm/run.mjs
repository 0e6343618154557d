// @ts-check
/**
 * `npm run test:vllm`: the end-to-end suite of the engines with a real vLLM, on this machine's CPU and with a tiny model.
 * Installs what is missing into `.cache/vllm`; arguments go to jest. The last line is `N passed, N failed`.
 */
import { spawn } from 'node:child_process';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installVllm } from './install.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
/** @param {string} line */
const say = (line) => void process.stdout.write(`${line}\n`);

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  say('0 passed, 1 failed');
  process.exitCode = 1;
}

/** @returns {Promise<number>} exit code of the tests */
async function main() {
  const { version, seconds, fresh, bin, weights } = await installVllm(join(root, '.cache/vllm'), say);
  say(`vLLM ${version} for CPUs, ${fresh ? '' : 'already present, '}installed in ${seconds} s`);
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
    PENSTOCK_TEST_ENGINE: 'vllm',
    PENSTOCK_TEST_WEIGHTS: weights,
  };
  const tests = [
    join(root, 'test/run.mjs'),
    'test/e2e/engine-suite.test.ts',
    'test/e2e/engine-frozen.test.ts',
    'test/e2e/engine-special-tokens.test.ts',
    // One vLLM at a time.
    '--runInBand',
    ...process.argv.slice(2),
  ];
  const child = spawn(process.execPath, tests, { cwd: root, env, stdio: 'inherit' });
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(name, () => child.kill(name));
  return await new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code) => done(code ?? 1));
  });
}
