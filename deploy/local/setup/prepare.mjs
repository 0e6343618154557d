// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildConsole, CONSOLE_PACKAGES } from './build-console.mjs';
import { copyDocs, DOCS_PACKAGE } from './copy-docs.mjs';
import { lastLines, onPath, runToEnd } from './run-to-end.mjs';
import { Refusal } from './refusal.mjs';

/** Input of the compiler: a change in any of these makes `dist` stale. */
const SOURCES = ['gateway', 'worker-launcher', 'tsconfig.json', 'package.json', 'package-lock.json'];

/** Interval of progress lines during long work. */
const TELL_EVERY_MS = 3_000;

const FIRST_START = 'first start';
const COMPILER = 'node_modules/typescript';
/** Types that only an installation of everything has. Those of Node come with Vite, which names them as a peer. */
export const ALL_TYPES = 'node_modules/@types/express';
/** Development packages that the build needs. */
const OF_BUILD = [COMPILER, DOCS_PACKAGE, ...CONSOLE_PACKAGES];

/**
 * @typedef {object} PrepareDeps
 * @property {(line: string) => void} say
 * @property {NodeJS.ProcessEnv} env
 * @property {AbortSignal} [signal]
 * @property {boolean} [everything] installs the packages of tests and checks as well
 */

/**
 * Installs dependencies and compiles, each only when needed. A published package has the pages of the programs but no sources, and needs neither.
 * A first start installs only the runtime packages and those of the build. The compiler then removes types without checking them. The
 * packages of tests and checks, with their types, are two thirds of all.
 * @param {string} root folder of package.json
 * @param {PrepareDeps} deps
 * @returns {Promise<{ installSeconds: number, buildSeconds: number }>}
 * @throws Refusal with the last lines of npm or of the compiler
 */
export async function prepare(root, deps) {
  if (!existsSync(join(root, 'tsconfig.json'))) return { installSeconds: 0, buildSeconds: 0 };
  return {
    installSeconds: await seconds(() => install(root, deps)),
    buildSeconds: await seconds(() => build(root, deps)),
  };
}

/**
 * Installs dependencies if needed.
 * @param {string} root @param {PrepareDeps} deps
 * @throws Refusal with the last lines of npm
 */
export async function install(root, { say, env, signal, everything = false }) {
  const why = dependenciesStale(root, everything);
  if (why === undefined) return;
  say(`installing dependencies (${why}) …`);
  const [command, ...args] = npmCommand(env);
  const onlyToRun = !everything && why === FIRST_START;
  // as `npm ci` does, because an interrupted install may have left half a package
  if (onlyToRun) rmSync(join(root, 'node_modules'), { recursive: true, force: true });
  const what = onlyToRun ? toRun(root) : ['ci', '--include=dev'];
  const npm = await telling('installing dependencies', say, () =>
    runToEnd(command, [...args, ...what, '--no-audit', '--no-fund'], { cwd: root, env, signal }),
  );
  if (npm.code !== 0) throw new Refusal(`npm could not install the dependencies:\n${lastLines(npm.output, 15)}`);
}

/** @param {string} root @param {PrepareDeps} deps */
async function build(root, { say, env, signal }) {
  const wanted = sourceHash(root);
  const stamp = stampOf(root);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('building …');
  const unchecked = existsSync(join(root, ALL_TYPES)) ? [] : ['--noCheck', '--types', 'null'];
  const compiler = [`${COMPILER}/bin/tsc`, '-p', '.', ...unchecked];
  await telling('building', say, async () => {
    const tsc = await runToEnd(process.execPath, compiler, { cwd: root, env, signal });
    if (tsc.code !== 0) throw new Refusal(`the build failed:\n${lastLines(tsc.output, 15)}`);
    copyDocs(root);
    await buildConsole(root, { env, signal });
  });
  writeFileSync(stamp, wanted);
}

/** Notes that others have built programs and console in `dist` from the present sources. @param {string} root */
export function noteBuilt(root) {
  copyDocs(root);
  writeFileSync(stampOf(root), sourceHash(root));
}

/** @param {string} root */
function stampOf(root) {
  return join(root, 'dist', '.sources');
}

/**
 * Compares the lock file with npm's own record of the installed packages, so that a manual install counts too.
 * npm writes the record last, so an interrupted install leaves none.
 * @param {string} root
 * @param {boolean} everything false: the packages of tests and checks may be missing
 * @returns {string | undefined} why an install is needed
 */
export function dependenciesStale(root, everything) {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return FIRST_START;
  const installed = packagesOf(record);
  const differs = Object.entries(packagesOf(join(root, 'package-lock.json'))).some(([path, wanted]) => {
    const found = installed[path];
    // npm leaves out packages for other systems, which have one of these marks
    const isSpare = wanted.optional === true || wanted.devOptional === true;
    if (found === undefined)
      return path !== '' && !isSpare && (everything || wanted.dev !== true || OF_BUILD.includes(path));
    return found.version !== wanted.version || found.integrity !== wanted.integrity;
  });
  return differs ? 'package-lock.json has other versions' : undefined;
}

/**
 * npm arguments that install the runtime packages and those of the build at the versions of package-lock.json. `npm ci` cannot do
 * that: it installs all development packages or none.
 * @param {string} root
 */
function toRun(root) {
  const locked = packagesOf(join(root, 'package-lock.json'));
  const wanted = OF_BUILD.map((path) => `${basename(path)}@${locked[path]?.version ?? ''}`);
  return ['install', '--omit=dev', '--no-save', '--save-prod', ...wanted];
}

/**
 * Hash of the files' contents, not of their times: a checkout or a copy touches every file without a change.
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
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.md'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

/**
 * @typedef {{ version?: string, integrity?: string, dev?: boolean, optional?: boolean, devOptional?: boolean }} LockedPackage
 * @param {string} file @returns {Record<string, LockedPackage>}
 */
function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/**
 * The npm that runs us, if one does, because it might not be on PATH.
 * @param {NodeJS.ProcessEnv} env @returns {[string, ...string[]]}
 */
function npmCommand(env) {
  const running = env['npm_execpath'];
  if (running !== undefined && basename(running).startsWith('npm-cli') && existsSync(running)) {
    return [process.execPath, running];
  }
  const npm = onPath('npm', env);
  if (npm === undefined) throw new Refusal('the dependencies must be installed, but npm is not on PATH');
  return [npm];
}

/**
 * Prints a progress line every 3 s during long work.
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
