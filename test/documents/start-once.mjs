// @ts-check
/**
 * What `npm start` and `penstock up` are in a block of a page: a real start on free ports, ended after `ready`. Its ports
 * are printed as those that the page names. PENSTOCK_DOCUMENTS_PORT is the first of them.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PENSTOCK = fileURLToPath(new URL('../../deploy/local/penstock.mjs', import.meta.url));
const first = Number(process.env['PENSTOCK_DOCUMENTS_PORT']);
const options = ['--engine', 'simulator', '--port', String(first)];
const child = spawn(process.execPath, [PENSTOCK, 'up', ...process.argv.slice(2), ...options], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(name, () => child.kill(name));
let output = '';
let isReady = false;
child.stdout.on('data', (bytes) => {
  output += String(bytes);
  if (isReady || !/^ready /m.test(output)) return;
  isReady = true;
  child.kill('SIGTERM');
});
child.on('close', (code) => {
  process.stdout.write(
    output.replaceAll(/127\.0\.0\.1:(\d+)/g, (_, port) => `127.0.0.1:${8080 + Number(port) - first}`),
  );
  process.exitCode = isReady ? 0 : (code ?? 1);
});
