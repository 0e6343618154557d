// @ts-check
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { tmpdir } from 'node:os';
import { lastLines, onPath, runToEnd } from '../../local/setup/run-to-end.mjs';
import { installPeer } from './install.mjs';
import { COMMIT_FILE, commitOf } from './machine.mjs';

const MOST_BYTES = 60_000_000;
/** Parts of the repository that a run needs. */
const OURS = ['package.json', 'dist', 'deploy/bench', 'deploy/local', 'deploy/models'];
/** Programs of this machine that a run needs. */
const PROGRAMS = ['redis-server', 'taskset'];
const WRAPPER = `#!/bin/sh
# Starts a program of the benchmark with the programs of this pack: ./bench --help and ./scale --help list the options.
here=$(cd "$(dirname "$0")" && pwd)
export PATH="$here/bin:$PATH" LD_LIBRARY_PATH="$here/lib"
exec node "$here"/deploy/bench/`;

/**
 * Writes this checkout, its dependencies, the peers, Node and Redis into one file. A machine without network needs only `tar`,
 * `xz` and, for the peers in Python, a `python3` of the same minor version.
 * @param {string} file
 * @param {object} deps
 * @param {string} deps.root @param {string} deps.cache
 * @param {readonly import('./peers.mjs').Peer[]} deps.peers
 * @param {string | undefined} deps.python minor version there; undefined: as here
 * @param {boolean} deps.addition only the peers, to unpack over an earlier pack
 * @param {(line: string) => void} deps.say @param {AbortSignal} deps.signal
 * @throws Error if the file is too large, or a program is missing
 */
export async function pack(file, { root, cache, peers, python, addition, say, signal }) {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-pack-'));
  const top = join(folder, 'penstock-bench');
  try {
    await copyPeers(peers, top, { cache, python, say, signal });
    if (!addition) await copyRest(root, peers, top);
    say('compressing …');
    const { code, output } = await runToEnd('tar', ['-cJf', file, '-C', folder, basename(top)], {
      env: { ...process.env, XZ_OPT: process.env['XZ_OPT'] ?? '-6 -T0' },
      signal,
    });
    if (code !== 0) throw new Error(`tar failed: ${lastLines(output, 5)}`);
    const { size } = await stat(file);
    if (size > MOST_BYTES) {
      await rm(file);
      const megabytes = (size / 1e6).toFixed(0);
      throw new Error(
        `the pack has ${megabytes} MB, at most 60 are allowed: choose fewer gateways with --only, LiteLLM is the largest`,
      );
    }
    const start = addition ? 'into the folder of the earlier pack' : 'then penstock-bench/bench --part 1/2';
    say(`wrote ${file}, ${(size / 1e6).toFixed(0)} MB. There: tar -xJf ${basename(file)}, ${start}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The installed gateways. @param {readonly import('./peers.mjs').Peer[]} peers @param {string} top @param {Parameters<typeof installPeer>[1]} deps */
async function copyPeers(peers, top, deps) {
  for (const { install } of peers) {
    if (install === undefined) continue;
    const from = await installPeer(install, deps);
    const to = join(top, '.cache/bench', install.folder);
    await cp(from, to, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.deb') });
    for (const part of install.unused ?? []) await rm(join(to, part), { recursive: true, force: true });
    if (install.symbols !== undefined) execFileSync('strip', ['--strip-unneeded', join(to, install.symbols)]);
    if (install.program !== undefined) await copyLibraries(join(from, install.program), top);
  }
}

/** This checkout and the programs that it needs. @param {string} root @param {readonly import('./peers.mjs').Peer[]} peers @param {string} top */
async function copyRest(root, peers, top) {
  for (const part of OURS) await cp(join(root, part), join(top, part), { recursive: true });
  await copyDependencies(root, top);
  await copyProgram(process.execPath, 'node', top);
  for (const name of PROGRAMS) {
    const path = onPath(name, process.env);
    if (path === undefined) throw new Error(`${name} is not on PATH: install it, because the pack contains it`);
    await copyProgram(path, name, top);
  }
  await writeFile(join(top, COMMIT_FILE), `${commitOf(root)}\n`);
  const names = peers.map(({ name }) => name).join(',');
  await writeFile(join(top, 'bench'), `${WRAPPER}compare.mjs --only ${names} "$@"\n`, { mode: 0o755 });
  await writeFile(join(top, 'scale'), `${WRAPPER}scale.mjs "$@"\n`, { mode: 0o755 });
}

/** Files that no program reads. */
const NOT_READ = /\.(map|d\.[cm]?ts|md)$/;

/** The packages that this repository needs when it runs. @param {string} root @param {string} top */
async function copyDependencies(root, top) {
  const listed = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root, encoding: 'utf8' });
  const inside = join(root, 'node_modules');
  for (const folder of listed.split('\n').filter((line) => line.startsWith(inside)))
    if (existsSync(folder))
      await cp(folder, join(top, folder.slice(root.length)), {
        recursive: true,
        verbatimSymlinks: true,
        filter: (path) => !NOT_READ.test(path),
      });
}

/** @param {string} path @param {string} name @param {string} top */
async function copyProgram(path, name, top) {
  await mkdir(join(top, 'bin'), { recursive: true });
  await copyFile(await realpath(path), join(top, 'bin', name));
  await copyLibraries(path, top);
}

/** Shared libraries of a program, except the C library. @param {string} program @param {string} top */
async function copyLibraries(program, top) {
  await mkdir(join(top, 'lib'), { recursive: true });
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/=> (\/\S+)/g);
  for (const [, library = ''] of libraries)
    if (!/^(libc|libm|libdl|libpthread|librt)\.so/.test(basename(library)))
      await copyFile(library, join(top, 'lib', basename(library)));
}
