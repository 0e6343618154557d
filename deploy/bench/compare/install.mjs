// @ts-check
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines, runToEnd } from '../../local/setup/run-to-end.mjs';

/**
 * Installs a peer from its registry, unless its folder exists with the same packages.
 * @param {import('./peers.mjs').Install} install
 * @param {{ cache: string, python?: string | undefined, say: (line: string) => void, signal: AbortSignal }} deps `python`: minor
 *   version, if the peer runs on another machine; `signal` ends the installer
 * @returns {Promise<string>} its folder
 * @throws Error with the end of the installer's output
 */
export async function installPeer({ folder, from, packages }, { cache, python, say, signal }) {
  const foreign = from === 'pypi' && python !== undefined ? [`--python-version=${python}`, '--only-binary=:all:'] : [];
  const target = join(cache, foreign.length === 0 ? folder : `${folder}-python${python}`);
  const stamp = join(target, `${packages.join(' ').replaceAll(/[^\w.= -]/g, '_')}.installed`);
  if (existsSync(stamp)) return target;
  say(`installing ${packages.join(', ')} …`);
  const unfinished = `${target}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  await INSTALLERS[from]([...foreign, ...packages], unfinished, signal);
  await rm(target, { recursive: true, force: true });
  await rename(unfinished, target);
  await writeFile(stamp, '');
  return target;
}

/** @type {Record<import('./peers.mjs').Install['from'], (packages: readonly string[], folder: string, signal: AbortSignal) => Promise<void>>} */
const INSTALLERS = {
  debian: async (packages, folder, signal) => {
    await run('apt-get', ['download', ...packages], folder, signal);
    const files = (await readdir(folder)).filter((name) => name.endsWith('.deb'));
    for (const file of files) await run('dpkg-deb', ['-x', file, '.'], folder, signal);
  },
  npm: async (packages, folder, signal) => {
    const pinned = Object.fromEntries(
      packages.map((one) => [one.slice(0, one.lastIndexOf('@')), one.slice(one.lastIndexOf('@') + 1)]),
    );
    // Overrides, because a dependency of a dependency is pinned too.
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ private: true, dependencies: pinned, overrides: pinned }),
    );
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], folder, signal);
  },
  pypi: (packages, folder, signal) =>
    run('python3', ['-m', 'pip', 'install', '--quiet', '--no-compile', '--target', '.', ...packages], folder, signal),
};

/** @param {string} command @param {string[]} args @param {string} cwd @param {AbortSignal} signal */
async function run(command, args, cwd, signal) {
  const { code, output } = await runToEnd(command, args, { cwd, env: process.env, signal });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${lastLines(output, 5)}`);
}
