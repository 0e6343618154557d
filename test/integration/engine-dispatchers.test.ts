import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import type { EngineEntry } from '../../worker-launcher/dispatch/link.ts';
import { Dispatchers } from '../../worker-launcher/fleet/dispatchers.ts';
import { processFact } from '../../worker-launcher/engine/process-group.ts';
import { eventually } from '../support/eventually.ts';
import { silentLog } from '../support/silent-log.ts';

const entryPath = fileURLToPath(new URL('../support/fake-dispatcher.mjs', import.meta.url));
const env = { WORKER_REDIS_URL: 'redis://localhost', PATH: '/usr/bin:/bin', HF_TOKEN: 'x', VLLM_PORT: '1' };

function entry(id: string, port = 1_000): EngineEntry {
  return { id, model: 'm', pid: 1, port, state: 'ready', slots: { text: 4, image: 1 } };
}

function startDispatchers(engineIds: readonly string[], silentMs = 15_000) {
  const suspected: string[] = [];
  const onSuspect = (engine: string): number => suspected.push(engine);
  const onAnswered = (): void => {};
  const dispatchers = new Dispatchers({ entryPath, engineIds, env, onSuspect, onAnswered, log: silentLog, silentMs });
  dispatchers.start();
  return { dispatchers, suspected, [Symbol.asyncDispose]: () => dispatchers.abandon(0) };
}

/** The only dispatcher's process, once it listens. */
function readyPid({ processes: [child] }: Dispatchers): number | undefined {
  return child === undefined || child.incarnation === null ? undefined : (child.pid ?? undefined);
}

test('five engines have two dispatchers, and each knows only its own engines', async () => {
  const ids = ['e0', 'e1', 'e2', 'e3', 'e4'];
  await using run = startDispatchers(ids);
  for (const id of ids) run.dispatchers.update(entry(id));
  expect(run.dispatchers.processes).toHaveLength(2);
  await eventually('loads of both', () => run.dispatchers.inFlight('e4').text === 1);
  await eventually('loads of both', () => run.dispatchers.inFlight('e0').text === 4);
});

test('a dispatcher gets the settings but no engine variables', async () => {
  await using run = startDispatchers(['e0']);
  const incarnation = await eventually('ready', () => run.dispatchers.processes[0]?.incarnation);
  expect(incarnation).toContain('WORKER_REDIS_URL');
  expect(incarnation).not.toMatch(/HF_TOKEN|VLLM/);
});

test('a suspicion reaches the supervisor of that engine', async () => {
  await using run = startDispatchers(['e0', 'e1']);
  run.dispatchers.update(entry('e0'));
  run.dispatchers.update(entry('e1', 666));
  expect(await eventually('suspicion', () => run.suspected[0])).toBe('e1');
});

test('a killed dispatcher is restarted and gets its engines; its former load counts no more', async () => {
  await using run = startDispatchers(['e0']);
  const first = await eventually('ready', () => readyPid(run.dispatchers));
  run.dispatchers.update(entry('e0'));
  await eventually('load', () => run.dispatchers.inFlight('e0').text === 1);
  run.dispatchers.update(entry('e0', 667));
  await eventually('its death', () => run.dispatchers.processes[0]?.pid === null);
  expect(run.dispatchers.inFlight('e0')).toEqual({ text: 0, image: 0 });
  run.dispatchers.update(entry('e0'));
  await eventually('load from the new one', () => run.dispatchers.inFlight('e0').text === 1);
  expect(run.dispatchers.processes[0]?.pid).not.toBe(first);
});

test('a drain ends when the dispatchers have exited, and none restarts', async () => {
  await using run = startDispatchers(['e0']);
  const pid = await eventually('ready', () => readyPid(run.dispatchers));
  await run.dispatchers.drain(5_000);
  expect(processFact(pid)).toBeUndefined();
  expect(run.dispatchers.processes[0]?.pid).toBeNull();
});

test('H13: a dispatcher in a busy loop is replaced', async () => {
  await using run = startDispatchers(['e0'], 2_000);
  const first = await eventually('ready', () => readyPid(run.dispatchers));
  run.dispatchers.update(entry('e0', 668));
  await eventually('its death', () => processFact(first) === undefined);
  run.dispatchers.update(entry('e0'));
  await eventually('load from the new one', () => run.dispatchers.inFlight('e0').text === 1);
});
