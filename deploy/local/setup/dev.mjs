// @ts-check
/**
 * `npm run dev [-- options of penstock up]`: runs `penstock up`, and rebuilds and restarts it when a source file changes. If
 * the build fails, the old programs run on.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { buildConsole, consoleBuild } from './build-console.mjs';
import { noteBuilt } from './prepare.mjs';
import { reasonOf } from './refusal.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const compiler = spawn(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.', '--watch', '--preserveWatchOutput'],
  { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
);
// While the compiler works, so that the first start has a console.
await buildConsole(root, { env: process.env }).catch(tell);
/** Builds the console again at each change of it. The gateway needs no restart, because it serves what is in `dist`. */
const consoleBuilder = spawn(process.execPath, [...consoleBuild(root), '--watch'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
let turn = Promise.resolve();

for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM']))
  process.once(name, () => {
    compiler.kill();
    consoleBuilder.kill();
    turn = turn.then(stop);
  });

for await (const line of createInterface({ input: compiler.stdout })) {
  process.stdout.write(`${line}\n`);
  if (line.includes('Found 0 errors')) turn = turn.then(startAgain);
}

async function startAgain() {
  await stop();
  if (compiler.exitCode !== null || compiler.killed) return;
  noteBuilt(root);
  const up = [join(root, 'deploy/local/penstock.mjs'), 'up', ...process.argv.slice(2)];
  running = spawn(process.execPath, up, { cwd: root, stdio: 'inherit' });
}

async function stop() {
  if (running === undefined || running.exitCode !== null) return;
  running.kill('SIGTERM');
  await once(running, 'exit');
  running = undefined;
}

/** @param {unknown} error */
function tell(error) {
  process.stderr.write(`${reasonOf(error)}\n`);
}
