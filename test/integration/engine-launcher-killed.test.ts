import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';
import { eventually } from '../support/eventually.ts';
import { startLauncher } from '../support/launcher.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { sharedMemory } from '../support/shared-memory.ts';

const FAKE = resolve(import.meta.dirname, '../support/fake-vllm.mjs');

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

test.each([
  ['starting', 'exec sleep 300'],
  ['warming', `exec '${process.execPath}' '${FAKE}' "$@" --with-core --cold`],
  ['ready', `exec '${process.execPath}' '${FAKE}' "$@" --with-core`],
  ['suspect', `exec '${process.execPath}' '${FAKE}' "$@" --with-core`],
  ['draining', `exec '${process.execPath}' '${FAKE}' "$@" --with-core --ignore-term`],
])(
  'the launcher is killed while its engine is %s: 10 s later no process or file of the engine is left',
  async (state, engine) => {
    using memory = sharedMemory();
    const folder = mkdtempSync(join(tmpdir(), 'penstock-killed-'));
    // A worker in the engine's group has the segment mapped.
    const script = `[ "$1" = --version ] && echo 0.33.0 && exit\n'${memory.path}' 300 &\n${engine}`;
    writeFileSync(join(folder, 'vllm'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'vllm'), 0o755);
    const notes = join(folder, 'state');
    await using launcher = await startLauncher(redis.url, {
      PATH: `${folder}:/usr/bin:/bin`,
      WORKER_STATE_DIR: notes,
      WORKER_ENGINE_ARGS: '--load-format dummy',
      WORKER_LOG_LEVEL: 'silent',
    });
    // A dispatcher whose launcher is killed before it listens would stay.
    const reached = async (wanted: string) => {
      const { engines, dispatchers } = await launcher.status();
      return (
        (wanted === 'draining' || dispatchers[0]?.incarnation !== null) && engines[0]?.state === wanted && engines[0]
      );
    };
    const before = await eventually('an engine', () =>
      reached(['suspect', 'draining'].includes(state) ? 'ready' : state),
    );
    const pid = before.pid ?? 0;
    await eventually('a note of its memory', () =>
      readdirSync(notes).some(
        (name) => name.endsWith('.json') && readFileSync(join(notes, name), 'utf8').includes(memory.path),
      ),
    );
    if (state === 'suspect') process.kill(pid, 'SIGSTOP');
    if (state === 'draining') launcher.child.kill('SIGTERM');
    await eventually(state, () => reached(state));
    launcher.child.kill('SIGKILL');
    await eventually('the end of its group', () => groupMembers(pid).length === 0);
    await eventually('the end of its memory', () => !existsSync(memory.path));
    await eventually('the end of its socket', () => readdirSync(notes).every((name) => !name.endsWith('.sock')));
    expect(groupMembers(pid)).toEqual([]);
    rmSync(folder, { recursive: true, force: true });
  },
);

test('H13: a stopped dispatcher does not outlive its killed launcher', async () => {
  await using launcher = await startLauncher(redis.url, { WORKER_ENGINE: 'simulator', WORKER_LOG_LEVEL: 'silent' });
  const pid = await eventually('a dispatcher', async () => {
    const [dispatcher] = (await launcher.status()).dispatchers;
    return dispatcher?.incarnation !== null && dispatcher?.pid;
  });
  process.kill(pid, 'SIGSTOP');
  launcher.child.kill('SIGKILL');
  await eventually('its end', () => groupMembers(pid).length === 0);
});
