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

test('a killed engine process: what it leaves behind is cleared away, and a new one takes its place', async () => {
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

test('an engine that ends by itself with code 0 has crashed', async () => {
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

test('a start that fails is tried again, and its reason is quoted', async () => {
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

test('bad flags are not tried again, and are quoted', async () => {
  const text = 'vllm: error: unrecognized arguments: --nonsense';
  await using engine = await supervise({ args: ['--fail', text, '2'] });
  const view = await engine.until('stopped');
  expect(view.lastFailure).toContain('vLLM refuses an argument: --nonsense');
  expect(view.lastCause).toBe('bad_flag');
  expect(view.restarts).toBe(0);
});

test('a command that does not exist is a failed start that says so', async () => {
  await using engine = await supervise({
    command: () => ({ file: '/nowhere/vllm', argv: ['serve'], env: {} }),
  });
  const failure = await eventually('a failure', () => engine.supervisor.view.lastFailure);
  expect(failure).toContain('ENOENT');
});

test('an engine that is not ready in time is killed and started anew', async () => {
  await using engine = await supervise({ args: ['--cold'], limits: { startMs: 4_000 } });
  await eventually('a restart', () => engine.restarts.length > 0);
  expect(engine.restarts[0]).toBe('start_timeout');
  expect(engine.supervisor.view.lastFailure).toContain('still cold');
});

test('a suspected engine that is well goes on with the same process', async () => {
  await using engine = await supervise({});
  const before = await engine.until('ready');
  engine.supervisor.hint();
  expect(engine.supervisor.view.state).toBe('suspect');
  const after = await engine.until('ready');
  expect(after.pid).toBe(before.pid);
  expect(engine.restarts).toEqual([]);
});

test('an engine that answers no probe leaves the dispatch at once and is replaced', async () => {
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

test('a stop lets running answers finish, and then nothing of the engine is left', async () => {
  await using engine = await supervise({ args: ['--with-core'] });
  const { pid } = await engine.until('ready');
  const members = groupMembers(pid ?? 0).length;
  expect(members).toBeGreaterThanOrEqual(2);
  engine.load = 1;
  const stopped = engine.supervisor.stop();
  expect(engine.supervisor.view.state).toBe('draining');
  await eventually('two looks at what is running', () => engine.loadReads >= 2);
  expect(await engine.page('/health')).toBe('');
  engine.load = 0;
  await stopped;
  expect(engine.supervisor.view).toMatchObject({ state: 'stopped', pid: null });
  expect(groupMembers(pid ?? 0)).toEqual([]);
  expect(engine.restarts).toEqual([]);
});

test('an engine that does not obey is killed after its time', async () => {
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
  // The engine: a fake that answers, and a worker in its group that has the segment mapped.
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
