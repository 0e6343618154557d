import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { startGuard } from '../../worker-launcher/engine/guard.ts';
import { EngineLedger } from '../../worker-launcher/engine/ledger.ts';
import { sharedMemoryOf } from '../../worker-launcher/engine/leftovers.ts';
import { groupMembers, processFact, signalGroup } from '../../worker-launcher/engine/process-group.ts';
import { eventually } from '../support/eventually.ts';
import { sharedMemory } from '../support/shared-memory.ts';
import { silentLog } from '../support/silent-log.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A process group of two processes that would run for minutes. */
function startGroup() {
  const child = spawn('/bin/sh', ['-c', 'sleep 300 & sleep 300'], { detached: true, stdio: 'ignore' });
  const pgid = child.pid ?? 0;
  return {
    pgid,
    ended: once(child, 'exit'),
    [Symbol.dispose]: () => signalGroup(pgid, 'SIGKILL'),
  };
}

/**
 * Replaces a launcher: starts a guarded group as the supervisor does, prints its number, waits. It uses the built files
 * because this process does not run in jest.
 */
const LAUNCHER = `
  const { startGuard } = await import(process.argv[1] + '/guard.js');
  const { startProcess } = await import(process.argv[1] + '/process.js');
  const [, , mapped, free] = process.argv;
  const guard = startGuard();
  const command = { file: '/bin/sh', argv: ['-c', 'trap "" TERM HUP INT; sleep 300 & sleep 300; sleep 300'], env: {} };
  const engine = startProcess(command, () => {});
  guard.watch(engine.pid);
  guard.note(mapped);
  guard.note(free);
  console.log(engine.pid);
  setInterval(() => {}, 1000);
`;

test('SIGKILL of a launcher also ends its engines and removes their unused shared memory', async () => {
  using used = sharedMemory();
  const free = `${used.path}0`;
  copyFileSync(used.path, free);
  const user = used.map();
  const built = join(process.cwd(), 'dist/worker-launcher/engine');
  const launcher = spawn(process.execPath, ['--input-type=module', '-e', LAUNCHER, built, used.path, free], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(launcher.stdout, 'data')) as [Buffer];
  const pgid = Number(String(line));
  try {
    await eventually('the entire group', () => groupMembers(pgid).length === 3);
    launcher.kill('SIGKILL');
    await eventually('the end of the group', () => groupMembers(pgid).length === 0);
    await eventually('no shared memory', () => !existsSync(free));
    expect(existsSync(used.path)).toBe(true);
  } finally {
    user.kill();
    rmSync(free, { force: true });
    launcher.kill('SIGKILL');
    signalGroup(pgid, 'SIGKILL');
  }
});

test('a released guard kills no process', async () => {
  using group = startGroup();
  const guard = startGuard();
  guard.watch(group.pgid);
  guard.release();
  await eventually('no guard left', () => guardsOf(process.pid) === 0);
  expect(groupMembers(group.pgid).length).toBeGreaterThan(0);
});

/** Running guards that this process started. */
function guardsOf(parent: number): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const isGuard = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('penstock-engine-guard');
      return isGuard && state !== 'Z' && Number(ppid) === parent;
    } catch {
      return false;
    }
  }).length;
}

/** Makes this process's note look like that of an exited launcher. */
function forgeNote(change: (text: string) => string): void {
  const name = `engines-${process.pid}.json`;
  writeFileSync(join(folder, 'engines-4999999.json'), change(readFileSync(join(folder, name), 'utf8')));
  rmSync(join(folder, name));
}
const deadLauncher = (text: string): string =>
  text.replace(/"launcher":\{[^}]*\}/, '"launcher":{"pid":4999999,"start":"1"}');

test('the next launcher ends the processes that a killed one left', async () => {
  using group = startGroup();
  new EngineLedger(folder, silentLog).note('engine-0', group.pgid);
  forgeNote(deadLauncher);
  expect(await new EngineLedger(folder, silentLog).sweep()).toEqual([group.pgid]);
  await group.ended;
  expect(readdirSync(folder)).toEqual([]);
});

test('the next launcher removes the shared memory that a killed one left, unless a process uses it', async () => {
  using used = sharedMemory();
  using free = sharedMemory();
  const user = used.map();
  await eventually('a mapping', () => sharedMemoryOf(user.pid).length > 0);
  new EngineLedger(folder, silentLog).note('engine-0', 4_999_998, [used.path, free.path, '/dev/shm/model.safetensors']);
  forgeNote(deadLauncher);
  await new EngineLedger(folder, silentLog).sweep();
  expect([existsSync(used.path), existsSync(free.path)]).toEqual([true, false]);
  user.kill();
});

test('the sweep finds a group whose leading process has exited', async () => {
  using group = startGroup();
  await eventually('both processes', () => groupMembers(group.pgid).length >= 2);
  new EngineLedger(folder, silentLog).note('engine-0', group.pgid);
  forgeNote(deadLauncher);
  process.kill(group.pgid, 'SIGKILL');
  await group.ended;
  expect(await new EngineLedger(folder, silentLog).sweep()).toEqual([group.pgid]);
  await eventually('an empty group', () => groupMembers(group.pgid).length === 0);
});

test.each([
  ['of another start time', (text: string) => deadLauncher(text).replaceAll(/"start":"\d+"/g, '"start":"1"')],
  ['of another boot', (text: string) => deadLauncher(text).replace(/"boot":"[^"]*"/, '"boot":"other"')],
  ['of a running launcher', (text: string) => text],
  ['that cannot be read', () => '{'],
])('the sweep spares a group %s', async (_what, change) => {
  using group = startGroup();
  new EngineLedger(folder, silentLog).note('engine-0', group.pgid);
  forgeNote(change);
  expect(await new EngineLedger(folder, silentLog).sweep()).toEqual([]);
  expect(processFact(group.pgid)?.zombie).toBe(false);
});

test('an engine that was stopped leaves no note', () => {
  const ledger = new EngineLedger(folder, silentLog);
  ledger.note('engine-0', process.pid);
  ledger.forget('engine-0');
  expect(readdirSync(folder)).toEqual([]);
});
