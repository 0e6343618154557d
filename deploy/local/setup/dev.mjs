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
import { consoleBuild } from './build-console.mjs';
import { noteBuilt } from './prepare.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const compiler = spawn(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.', '--watch', '--preserveWatchOutput'],
  { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
);
const consoleBuilder = spawn(process.execPath, [...consoleBuild(root, 'info'), '--watch'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
let turn = Promise.resolve();
/** @type {Set<'programs' | 'console'>} */
const built = new Set();

for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM']))
  process.once(name, () => {
    compiler.kill();
    consoleBuilder.kill();
    turn = turn.then(stop);
  });

createInterface({ input: consoleBuilder.stdout }).on('line', (line) => {
  if (line.includes('built in')) isBuilt('console');
});
for await (const line of createInterface({ input: compiler.stdout })) {
  process.stdout.write(`${line}\n`);
  if (line.includes('Found 0 errors')) isBuilt('programs');
}

/** The gateway reads the console when it starts, so a change of either part is a restart. @param {'programs' | 'console'} part */
function isBuilt(part) {
  built.add(part);
  if (built.size === 2) turn = turn.then(startAgain);
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
