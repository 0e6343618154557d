// @ts-check
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { lastLines, onPath, runToEnd } from '../../local/setup/run-to-end.mjs';
import { COMMIT_FILE, commitOf } from './machine.mjs';

const MOST_BYTES = 60_000_000;
/** Parts of the repository that a run needs. */
const OURS = ['package.json', 'dist', 'deploy/bench', 'deploy/local', 'deploy/models'];
const WRAPPER = `#!/bin/sh
# Starts the benchmark with the programs of this pack: ./bench --help lists the options.
here=$(cd "$(dirname "$0")" && pwd)
export PATH="$here/bin:$PATH" LD_LIBRARY_PATH="$here/lib"
cd "$here" && exec node deploy/bench/compare.mjs "$@"
`;

/**
 * Writes this checkout, its dependencies, the peers, Node and Redis into one file. A machine without network needs only `tar`,
 * `xz` and, for the peers in Python, a `python3` of the same minor version.
 * @param {string} file
 * @param {{ root: string, cache: string, peers: readonly import('./peers.mjs').Peer[], say: (line: string) => void, signal: AbortSignal }} deps
 * @throws Error if the file is too large, or a program is missing
 */
export async function pack(file, { root, cache, peers, say, signal }) {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-pack-'));
  const top = join(folder, 'penstock-bench');
  try {
    say('copying …');
    for (const part of OURS) await cp(join(root, part), join(top, part), { recursive: true });
    await copyDependencies(root, top);
    for (const { install } of peers)
      if (install !== undefined)
        await cp(join(cache, install.folder), join(top, '.cache/bench', install.folder), {
          recursive: true,
          verbatimSymlinks: true,
        });
    await copyProgram(process.execPath, 'node', top);
    const redis = onPath('redis-server', process.env);
    if (redis === undefined) throw new Error('redis-server is not on PATH: install it, because the pack contains it');
    await copyProgram(redis, 'redis-server', top);
    await writeFile(join(top, COMMIT_FILE), `${commitOf(root)}\n`);
    await writeFile(join(top, 'bench'), WRAPPER, { mode: 0o755 });
    say('compressing …');
    const { code, output } = await runToEnd('tar', ['-cJf', file, '-C', folder, basename(top)], {
      env: { ...process.env, XZ_OPT: '-3 -T0' },
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
    say(
      `wrote ${file}, ${(size / 1e6).toFixed(0)} MB. There: tar -xJf ${basename(file)} && penstock-bench/bench --part 1/4`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The packages that this repository needs when it runs. @param {string} root @param {string} top */
async function copyDependencies(root, top) {
  const listed = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root, encoding: 'utf8' });
  const inside = join(root, 'node_modules');
  for (const folder of listed.split('\n').filter((line) => line.startsWith(inside)))
    if (existsSync(folder))
      await cp(folder, join(top, folder.slice(root.length)), { recursive: true, verbatimSymlinks: true });
}

/** A program and its shared libraries, except the C library. @param {string} path @param {string} name @param {string} top */
async function copyProgram(path, name, top) {
  await mkdir(join(top, 'bin'), { recursive: true });
  await mkdir(join(top, 'lib'), { recursive: true });
  await copyFile(path, join(top, 'bin', name));
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' }).matchAll(/=> (\S+)/g);
  for (const [, library = ''] of libraries) {
    const own = /^(libc|libm|libdl|libpthread|librt)\.so/.test(basename(library));
    if (!own && dirname(library) !== '') await copyFile(library, join(top, 'lib', basename(library)));
  }
}
