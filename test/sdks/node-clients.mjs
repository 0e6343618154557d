// @ts-check
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CLIENTS = fileURLToPath(new URL('clients', import.meta.url));
const LOCK = join(CLIENTS, 'package-lock.json');
const DRIVERS = ['openai.mjs', 'serve.mjs'].map((name) => fileURLToPath(new URL(name, import.meta.url)));
/** The Node version that the clients require; npm installs it if this process is older. */
const NODE = 22;

/**
 * A folder with the clients and their imports, reinstalled when the lock file has changed. The clients are copied
 * there, so that their imports are found.
 * @param {string} folder of its own
 * @returns {import('./clients.ts').Runtime}
 * @throws Error with npm's output
 */
export function nodeClients(folder) {
  const record = join(folder, 'installed.json');
  const wanted = readFileSync(LOCK, 'utf8');
  const isInstalled = existsSync(record) && readFileSync(record, 'utf8') === wanted;
  if (!isInstalled) rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(CLIENTS, folder, { recursive: true });
  if (!isInstalled) {
    const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
    const { status, error, stdout, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
    if (status !== 0) throw new Error(`npm ci of the clients: ${error?.message ?? `${stdout}${stderr}`}`.trim());
    // Last, so that half an installation does not count as complete.
    writeFileSync(record, wanted);
  }
  const brought = join(folder, `node_modules/node-linux-${process.arch}/bin/node`);
  const isLateEnough = Number(process.versions.node.split('.')[0]) >= NODE;
  return { program: isLateEnough ? process.execPath : brought, folder };
}

/**
 * The next major version of OpenAI's SDK for Node, with a copy of its driver, so that it is found.
 * @param {string} folder of its own
 * @returns {import('./sdks.ts').Version}
 * @throws Error with npm's output
 */
export function newerOpenai(folder) {
  const version = '7.59.0';
  mkdirSync(folder, { recursive: true });
  for (const driver of DRIVERS) cpSync(driver, join(folder, basename(driver)));
  const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, error, stdout, stderr } = spawnSync('npm', [...args, `openai@${version}`], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm install openai@${version}: ${error?.message ?? `${stdout}${stderr}`}`.trim());
  return { name: `openai (Node) ${version}`, command: [process.execPath, join(folder, 'openai.mjs')] };
}
