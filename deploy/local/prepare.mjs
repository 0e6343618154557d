// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { lastLines, onPath, runToEnd } from './run-to-end.mjs';
import { Refusal } from './refusal.mjs';

/** What the compiler reads: a change in any of it makes `dist` stale. */
const SOURCES = ['gateway', 'worker-launcher', 'tsconfig.json', 'package.json', 'package-lock.json'];

/** How often long work says that it goes on. */
const TELL_EVERY_MS = 3_000;

/**
 * Installs dependencies and compiles, each only when needed. A published package has no sources and needs neither.
 * @param {string} root folder of package.json
 * @param {{ say: (line: string) => void, env: NodeJS.ProcessEnv, signal?: AbortSignal }} deps
 * @returns {Promise<{ installSeconds: number, buildSeconds: number }>}
 * @throws Refusal with the last words of npm or of the compiler
 */
export async function prepare(root, { say, env, signal }) {
  if (!existsSync(join(root, 'gateway'))) return { installSeconds: 0, buildSeconds: 0 };
  const settings = { cwd: root, env, ...(signal === undefined ? {} : { signal }) };
  const installSeconds = await seconds(async () => {
    const why = dependenciesStale(root);
    if (why === undefined) return;
    say(`installing dependencies (${why}) …`);
    const [command, ...args] = npmCommand(env);
    const npm = await telling('installing dependencies', say, () =>
      runToEnd(command, [...args, 'ci', '--include=dev', '--no-audit', '--no-fund'], settings),
    );
    if (npm.code !== 0) throw new Refusal(`the dependencies could not be installed:\n${lastLines(npm.output, 15)}`);
  });
  const buildSeconds = await seconds(async () => {
    const wanted = sourceHash(root);
    const stamp = join(root, 'dist', '.sources');
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
    say('building …');
    const compiler = ['node_modules/typescript/bin/tsc', '-p', '.'];
    const tsc = await telling('building', say, () => runToEnd(process.execPath, compiler, settings));
    if (tsc.code !== 0) throw new Refusal(`the build failed:\n${lastLines(tsc.output, 15)}`);
    writeFileSync(stamp, wanted);
  });
  return { installSeconds, buildSeconds };
}

/**
 * Compares the lock file with the record that npm keeps of what it installed, so an install by hand counts too.
 * npm writes the record last: an install that was cut off leaves none.
 * @param {string} root
 * @returns {string | undefined} why an install is needed
 */
export function dependenciesStale(root) {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return 'first start';
  const installed = packagesOf(record);
  const differs = Object.entries(packagesOf(join(root, 'package-lock.json'))).some(([path, wanted]) => {
    const found = installed[path];
    // those of other systems are left out by npm, and marked as one of these
    if (found === undefined) return path !== '' && wanted.optional !== true && wanted.devOptional !== true;
    return found.version !== wanted.version || found.integrity !== wanted.integrity;
  });
  return differs ? 'package-lock.json has changed' : undefined;
}

/**
 * Contents, not times: a checkout or a copy touches every file and changes none.
 * @param {string} root
 */
export function sourceHash(root) {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    for (const file of filesUnder(root, source)) hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

/** @param {string} root @param {string} path @returns {string[]} */
function filesUnder(root, path) {
  if (!existsSync(join(root, path))) return [];
  if (path.includes('.')) return [path];
  return readdirSync(join(root, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean }} LockedPackage
 * @param {string} file @returns {Record<string, LockedPackage>}
 */
function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/**
 * The npm that runs us, if one does; it may not be on PATH.
 * @param {NodeJS.ProcessEnv} env @returns {[string, ...string[]]}
 */
function npmCommand(env) {
  const running = env['npm_execpath'];
  if (running !== undefined && basename(running).startsWith('npm-cli') && existsSync(running)) {
    return [process.execPath, running];
  }
  const npm = onPath('npm', env);
  if (npm === undefined) throw new Refusal('dependencies have to be installed, and there is no npm on PATH');
  return [npm];
}

/**
 * Tells every few seconds that long work goes on.
 * @template T
 * @param {string} what @param {(line: string) => void} say @param {() => Promise<T>} work
 */
async function telling(what, say, work) {
  const began = performance.now();
  const tell = () => say(`still ${what}, ${Math.round((performance.now() - began) / 1_000)} s so far …`);
  const timer = setInterval(tell, TELL_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** @param {() => Promise<void>} work @returns {Promise<number>} seconds it took */
async function seconds(work) {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1_000;
}
