import { existsSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { groupMembers, processFact } from '../../worker-launcher/engine/process-group.ts';
import { eventually } from '../support/eventually.ts';
import { sharedMemory } from '../support/shared-memory.ts';
import { fakeVllm, supervise } from '../support/supervised.ts';

test('an engine is in service only after it generated a real token', async () => {
  await using engine = await supervise({ args: ['--cold'] });
  await engine.until('warming');
  await eventually('a refused generation', () => engine.views.length > 0);
  expect(engine.views.map(({ state }) => state)).not.toContain('ready');
  await engine.page('/warm');
  const view = await engine.until('ready');
  expect(view.pid).not.toBeNull();
  expect(view.address).toEqual({ socket: engine.socket });
});

test('a killed engine process: its leftovers are removed, and a new process replaces it', async () => {
  await using engine = await supervise({ args: ['--with-core'] });
  const first = await engine.until('ready');
  const core = Number(await engine.page('/core'));
  process.kill(first.pid ?? Number.NaN, 'SIGKILL');
  const second = await eventually('another engine', () => {
    const { view } = engine.supervisor;
    return view.state === 'ready' && view.pid !== first.pid ? view : undefined;
  });
  expect(processFact(core)?.zombie ?? true).toBe(true);
  expect(groupMembers(first.pid ?? 0)).toEqual([]);
  expect(second.restarts).toBe(1);
  expect(second.lastFailure).toContain('SIGKILL');
  expect(engine.restarts).toEqual(['exited']);
  expect(engine.views.map(({ state }) => state)).toContain('backoff');
});

test('an engine that exits by itself with code 0 has crashed', async () => {
  await using engine = await supervise({});
  const first = await engine.until('ready');
  await engine.page('/exit').catch(() => {});
  await eventually('another engine', () => {
    const { view } = engine.supervisor;
    return view.state === 'ready' && view.pid !== first.pid;
  });
  expect(engine.restarts).toEqual(['exited']);
  expect(engine.supervisor.view.lastFailure).toContain('exit code 0');
});

test('a failed start is retried, and its reason is quoted', async () => {
  let tries = 0;
  await using engine = await supervise({
    command: (socket) => {
      tries += 1;
      return fakeVllm(socket, tries < 3 ? ['--fail', 'ValueError: the context is too long', '1'] : []);
    },
  });
  const view = await engine.until('ready');
  expect(view.restarts).toBe(2);
  expect(view.lastFailure).toContain('ValueError: the context is too long');
  expect(engine.restarts).toEqual(['start_failed', 'start_failed']);
});

test('a start with bad flags is not retried, and the flags are quoted', async () => {
  const text = 'vllm: error: unrecognized arguments: --nonsense';
  await using engine = await supervise({ args: ['--fail', text, '2'] });
  const view = await engine.until('stopped');
  expect(view.lastFailure).toContain('vLLM refuses an argument: --nonsense');
  expect(view.lastCause).toBe('bad_flag');
  expect(view.restarts).toBe(0);
});

test('a missing command is a failed start with that reason', async () => {
  await using engine = await supervise({
    command: () => ({ file: '/nowhere/vllm', argv: ['serve'], env: {} }),
  });
  const failure = await eventually('a failure', () => engine.supervisor.view.lastFailure);
  expect(failure).toContain('ENOENT');
});

test('an engine that is not ready in time is killed and restarted', async () => {
  await using engine = await supervise({ args: ['--cold'], limits: { startMs: 4_000 } });
  await eventually('a restart', () => engine.restarts.length > 0);
  expect(engine.restarts[0]).toBe('start_timeout');
  expect(engine.supervisor.view.lastFailure).toContain('still cold');
});

test('a suspect engine that is healthy continues with the same process', async () => {
  await using engine = await supervise({});
  const before = await engine.until('ready');
  engine.supervisor.hint();
  expect(engine.supervisor.view.state).toBe('suspect');
  const after = await engine.until('ready');
  expect(after.pid).toBe(before.pid);
  expect(engine.restarts).toEqual([]);
});

test('an engine that answers no probe is immediately out of dispatch and is replaced', async () => {
  await using engine = await supervise({});
  const first = await engine.until('ready');
  await engine.page('/freeze');
  await engine.until('suspect');
  await eventually('another engine', () => {
    const { view } = engine.supervisor;
    return view.state === 'ready' && view.pid !== first.pid;
  });
  expect(engine.restarts).toEqual(['unresponsive']);
});

test('a stop lets running answers finish, then ends all processes of the engine', async () => {
  await using engine = await supervise({ args: ['--with-core'] });
  const { pid } = await engine.until('ready');
  const members = groupMembers(pid ?? 0).length;
  expect(members).toBeGreaterThanOrEqual(2);
  engine.load = 1;
  const stopped = engine.supervisor.stop();
  expect(engine.supervisor.view.state).toBe('draining');
  await eventually('two checks of the running requests', () => engine.loadReads >= 2);
  expect(await engine.page('/health')).toBe('');
  engine.load = 0;
  await stopped;
  expect(engine.supervisor.view).toMatchObject({ state: 'stopped', pid: null });
  expect(groupMembers(pid ?? 0)).toEqual([]);
  expect(engine.restarts).toEqual([]);
});

test('an engine that ignores SIGTERM is killed after the stop timeout', async () => {
  await using engine = await supervise({ args: ['--ignore-term', '--with-core'], limits: { stopMs: 300 } });
  const { pid } = await engine.until('ready');
  await engine.supervisor.stop();
  expect(groupMembers(pid ?? 0)).toEqual([]);
});

test('a stop before the engine is ready does not wait for it', async () => {
  await using engine = await supervise({ args: ['--cold', '--ignore-term'] });
  const { pid } = await engine.until('warming');
  await engine.supervisor.stop();
  expect(groupMembers(pid ?? 0)).toEqual([]);
  expect(engine.supervisor.view.state).toBe('stopped');
});

test('a second, more urgent stop shortens the first', async () => {
  await using engine = await supervise({ args: ['--ignore-term'] });
  const { pid } = await engine.until('ready');
  engine.load = 1;
  const first = engine.supervisor.stop();
  await engine.supervisor.stop({ drainMs: 0, stopMs: 0 });
  await first;
  expect(groupMembers(pid ?? 0)).toEqual([]);
});

test('a killed engine leaves no shared memory', async () => {
  using used = sharedMemory();
  // A fake engine that answers, and a worker in its group that has the segment mapped.
  await using engine = await supervise({
    command: (port) => {
      const fake = fakeVllm(port, []);
      return { ...fake, file: '/bin/sh', argv: ['-c', `'${used.path}' 300 & exec "$0" "$@"`, fake.file, ...fake.argv] };
    },
    limits: { backoffMs: 60_000, backoffCapMs: 60_000 },
  });
  const { pid } = await engine.until('ready');
  expect(existsSync(used.path)).toBe(true);
  process.kill(pid ?? Number.NaN, 'SIGKILL');
  await engine.until('backoff');
  expect(groupMembers(pid ?? 0)).toEqual([]);
  expect(existsSync(used.path)).toBe(false);
});
