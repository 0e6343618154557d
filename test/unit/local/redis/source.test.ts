import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { findRedis, HOW_TO_GET_REDIS, redisProgram } from '../../../../deploy/local/redis/source.mjs';

/** A PATH with only these programs, each a line of shell. */
function machine(programs: Record<string, string>, root = false) {
  const path = mkdtempSync(join(tmpdir(), 'penstock-path-'));
  for (const [name, line] of Object.entries(programs)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(path, name), 0o755);
  }
  const said: string[] = [];
  return {
    path,
    said,
    env: { PATH: path },
    root,
    say: (line: string) => void said.push(line),
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  };
}
const INSTALL =
  'case "$*" in *install*|*add*) : > "${0%/*}/redis-server"; /bin/chmod +x "${0%/*}/redis-server" ;; esac';

test('redis-server on PATH is preferred to valkey-server and everything else', async () => {
  using both = machine({ 'redis-server': '', 'valkey-server': '', docker: '', 'apt-get': INSTALL }, true);
  expect(await findRedis(both)).toEqual({ kind: 'program', path: join(both.path, 'redis-server') });
  using valkey = machine({ 'valkey-server': '', docker: '' });
  expect(await findRedis(valkey)).toEqual({ kind: 'program', path: join(valkey.path, 'valkey-server') });
});

test.each(['apt-get', 'dnf', 'apk'])(
  'root without a server: %s installs one, and the start prints it',
  async (manager) => {
    using bare = machine({ [manager]: INSTALL }, true);
    expect(await findRedis(bare)).toEqual({ kind: 'program', path: join(bare.path, 'redis-server') });
    expect(bare.said).toEqual([`installing Redis with ${manager}, because none was found and this user is root …`]);
  },
);

test('other users install nothing', async () => {
  using bare = machine({ 'apt-get': INSTALL });
  expect(await redisProgram(bare)).toBeUndefined();
  expect(bare.said).toEqual([]);
});

test('a failed install is printed, and a container is used if a runtime answers', async () => {
  using bare = machine({ 'apt-get': 'echo E: no network; exit 100', docker: 'exit 1', podman: '' }, true);
  expect(await findRedis(bare)).toEqual({ kind: 'container', runtime: join(bare.path, 'podman') });
  expect(bare.said[1]).toBe('apt-get could not install Redis: E: no network');
});

test('no server, installer or runtime: one sentence on how to get Redis', async () => {
  using bare = machine({ docker: 'echo cannot connect to the daemon; exit 1' });
  await expect(findRedis(bare)).rejects.toThrow(HOW_TO_GET_REDIS);
});
