import { expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { eventsOf, startSimulator, type SimulatorProcess } from './simulator-process.ts';

const LONG = { stream: true, max_tokens: 5000, ignore_eos: true };
const SLOW = ['--sim-itl-ms', '10'];

async function running(simulator: SimulatorProcess, body: object): Promise<Response> {
  const res = await simulator.ask(body);
  await eventually('running', async () => (await simulator.metric('vllm:num_requests_running')) === 1);
  return res;
}

test('SIGTERM while idle: exit code 0', async () => {
  await using simulator = await startSimulator();
  simulator.kill('SIGTERM');
  expect(await simulator.exited).toEqual({ code: 0, signal: null });
});

test('SIGTERM without --shutdown-timeout: running answers end with finish reason abort, exit code 0', async () => {
  await using simulator = await startSimulator(SLOW);
  const res = await running(simulator, LONG);
  simulator.kill('SIGTERM');
  const events = await eventsOf(res);
  expect(events.at(-2)).toContain('"finish_reason":"abort"');
  expect(events.at(-1)).toBe('[DONE]');
  expect(await simulator.exited).toEqual({ code: 0, signal: null });
});

test('SIGTERM with a long timeout: running answers complete, /health stays 200, new requests get 500, exit code 0', async () => {
  await using simulator = await startSimulator([...SLOW, '--shutdown-timeout', '30']);
  const res = await running(simulator, { ...LONG, max_tokens: 60 });
  simulator.kill('SIGTERM');
  await eventually('draining', () => simulator.output().includes('start mode=drain timeout=30s'));
  expect(await simulator.health()).toBe(200);
  const refused = await simulator.ask({ max_tokens: 1 });
  expect(refused.status).toBe(500);
  expect(await refused.text()).toContain('cannot schedule new futures after shutdown');
  const events = await eventsOf(res);
  expect(events).toHaveLength(62);
  expect(await simulator.exited).toEqual({ code: 0, signal: null });
});

test('SIGTERM with a short timeout, 0.32: error event and [DONE], exit code 0', async () => {
  await using simulator = await startSimulator([...SLOW, '--shutdown-timeout', '1', '--sim-vllm-version', '0.32']);
  const res = await running(simulator, LONG);
  simulator.kill('SIGTERM');
  const events = await eventsOf(res);
  expect(events.at(-2)).toContain('"error"');
  expect(events.at(-1)).toBe('[DONE]');
  expect(await simulator.exited).toEqual({ code: 0, signal: null });
});

test('SIGTERM with a short timeout, 0.33: the stream falls silent, the process exits once its client has left', async () => {
  await using simulator = await startSimulator([...SLOW, '--shutdown-timeout', '1']);
  const leave = new AbortController();
  const res = await simulator.ask(LONG, leave.signal);
  await eventually('running', async () => (await simulator.metric('vllm:num_requests_running')) === 1);
  const events = eventsOf(res);
  simulator.kill('SIGTERM');
  await eventually('port closed', async () => (await simulator.health()) === 0);
  leave.abort();
  expect((await events).at(-1)).toBe('cut');
  expect(await simulator.exited).toEqual({ code: 0, signal: null });
});

test('sigterm-hang: the stream stays open and silent, a second SIGTERM changes nothing', async () => {
  await using simulator = await startSimulator([...SLOW, '--sim-faults', 'sigterm-hang']);
  const res = await running(simulator, LONG);
  simulator.kill('SIGTERM');
  await eventually('port closed', async () => (await simulator.health()) === 0);
  simulator.kill('SIGTERM');
  const events = eventsOf(res);
  simulator.kill('SIGKILL');
  expect(await simulator.exited).toMatchObject({ signal: 'SIGKILL' });
  expect((await events).at(-1)).toBe('cut');
});
