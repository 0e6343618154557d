// @ts-check
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { licenceProblem } from './licences.mjs';

/** Packages that run a script when they are installed, and why that is needed. */
export const SCRIPTS = new Map([
  ['@parcel/watcher', 'optional: jest watches files with it; the script compiles it where no binary exists'],
  ['@swc/core', 'the compiler of the tests: the script looks for the binary of this system'],
  ['msgpackr-extract', 'optional: BullMQ reads MessagePack faster with it; the script looks for the binary'],
  ['unrs-resolver', 'jest resolves modules with it: the script looks for the binary of this system'],
]);

/** Packages that must not come back. */
const BANNED = new Map([['@scarf/scarf', 'it reports each installation to its maker']]);

const REGISTRY = 'https://registry.npmjs.org/';

/**
 * @typedef {{ version?: string, name?: string, integrity?: string, resolved?: string, link?: boolean, license?: string,
 *   dev?: boolean, devOptional?: boolean, hasInstallScript?: boolean }} Locked
 * @typedef {{ name: string, version: string, licence: string | undefined, isDevelopment: boolean, hasScript: boolean }} Package
 */

/**
 * The packages of a lock file.
 * @param {string} folder of package-lock.json; installed packages say their licence themselves
 * @param {{ allDevelopment?: boolean }} [options] none of them is part of the product
 * @returns {{ packages: Package[], problems: string[] }} problems: a sentence each
 */
export function packagesOf(folder, { allDevelopment = false } = {}) {
  /** @type {{ packages: Record<string, Locked> }} */
  const { packages: locked } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'));
  const entries = Object.entries(locked).filter(([path]) => path !== '');
  const problems = entries.flatMap(([path, entry]) => sourceProblems(path, entry));
  const packages = entries.map(([path, entry]) => ({
    name: nameOf(path, entry),
    version: entry.version ?? '',
    licence: licenceOf(folder, path) ?? entry.license,
    isDevelopment: allDevelopment || entry.dev === true || entry.devOptional === true,
    hasScript: entry.hasInstallScript === true,
  }));
  return { packages, problems: [...problems, ...packages.flatMap(packageProblems)] };
}

/** @param {Package} found */
function packageProblems({ name, version, hasScript, ...of }) {
  const problems = [licenceProblem({ name, ...of })];
  if (hasScript && !SCRIPTS.has(name)) problems.push('runs a script when it is installed, and is not on the list');
  if (BANNED.has(name)) problems.push(`must not be installed: ${BANNED.get(name)}`);
  return problems.flatMap((problem) => (problem === undefined ? [] : `${name} ${version} ${problem}`));
}

/** @param {string} path @param {Locked} entry */
function sourceProblems(path, { integrity, resolved, link }) {
  if (link === true) return [`${path} is a link to a folder`];
  if (resolved !== undefined && !resolved.startsWith(REGISTRY)) return [`${path} comes from ${resolved}`];
  return /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '') ? [] : [`${path} has no SHA-512`];
}

/** An alias has the name of the package that takes its place. @param {string} path @param {Locked} entry */
function nameOf(path, { name }) {
  return name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/**
 * From the package itself; undefined if it is not installed, as those for other systems.
 * @param {string} folder @param {string} path
 * @returns {string | undefined}
 */
function licenceOf(folder, path) {
  const file = join(folder, path, 'package.json');
  if (!existsSync(file)) return undefined;
  const { license, licenses } = JSON.parse(readFileSync(file, 'utf8'));
  if (typeof license === 'string') return license;
  if (typeof license?.type === 'string') return license.type;
  return Array.isArray(licenses) ? licenses.map(({ type }) => type).join(' OR ') : undefined;
}

/**
 * Python packages of tests without an exact version.
 * @param {string} text of a requirements.txt
 */
export function loosePython(text) {
  const lines = text.split('\n').map((line) => line.replace(/\s*#.*/, '').trim());
  return lines.filter((line) => line !== '' && !/^[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+( ;.*)?$/.test(line));
}

/**
 * Steps of GitHub workflows that name no commit.
 * @param {string} text of a workflow
 */
export function looseActions(text) {
  const used = [...text.matchAll(/^\s*(?:- )?uses:\s*(\S+)/gm)].map(([, action = '']) => action);
  return used.filter((action) => !action.startsWith('./') && !/@[0-9a-f]{40}$/.test(action));
}
