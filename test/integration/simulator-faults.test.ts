import { expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { eventually } from '../support/eventually.ts';
import { eventsOf, startSimulator, type SimulatorProcess } from './simulator-process.ts';

const LONG = { stream: true, max_tokens: 5000, ignore_eos: true };
const SLOW = ['--sim-itl-ms', '10'];

/** Starts a stream and waits for its first tokens. */
async function runningStream(simulator: SimulatorProcess, body: object = LONG): Promise<{ events: Promise<string[]> }> {
  const before = await simulator.metric('vllm:generation_tokens_total');
  const res = await simulator.ask(body);
  await eventually('tokens', async () => (await simulator.metric('vllm:generation_tokens_total')) > before);
  return { events: eventsOf(res) };
}

test.each(['0.32', '0.33'])(
  'kill-core while busy (%s): error event and [DONE], port closed, exit code 0',
  async (version) => {
    await using simulator = await startSimulator([...SLOW, '--sim-vllm-version', version]);
    const { events } = await runningStream(simulator);
    const plain = simulator.ask({ ...LONG, stream: false });
    await eventually('both run', async () => (await simulator.metric('vllm:num_requests_running')) === 2);
    await simulator.fault({ 'kill-core': true });
    const last = (await events).slice(-2);
    expect(last[0]).toContain(version === '0.32' ? 'EngineCore encountered an issue' : 'The server had an error');
    expect(JSON.parse(last[0] ?? '')).toMatchObject({ error: { type: 'InternalServerError', param: null, code: 500 } });
    expect(last[1]).toBe('[DONE]');
    expect((await plain).status).toBe(500);
    expect(await simulator.exited).toEqual({ code: 0, signal: null });
    expect(simulator.output()).toContain('EngineDeadError');
  },
);

test('kill-core while idle: /health answers 503, and the process exits some seconds later', async () => {
  await using simulator = await startSimulator(['--sim-faults', 'exit-code=3']);
  await simulator.fault({ 'kill-core': true });
  expect(await simulator.health()).toBe(503);
  expect(await simulator.exited).toEqual({ code: 3, signal: null });
});

test('with VLLM_KEEP_ALIVE_ON_ENGINE_DEATH the server runs on, /health answers 503 and requests get 500', async () => {
  await using simulator = await startSimulator([], { env: { VLLM_KEEP_ALIVE_ON_ENGINE_DEATH: '1' } });
  await simulator.fault({ 'kill-core': true });
  expect(await simulator.health()).toBe(503);
  expect((await simulator.ask({})).status).toBe(500);
});

test('kill-core-after: the engine dies after so many events', async () => {
  await using simulator = await startSimulator(['--sim-faults', 'kill-core-after=5', ...SLOW]);
  const events = await eventsOf(await simulator.ask(LONG));
  expect(events.filter((event) => event.includes('"delta"'))).toHaveLength(5);
  expect(events.at(-1)).toBe('[DONE]');
});

test('crash-after: the process ends by SIGKILL, streams break off in the middle of the body', async () => {
  await using simulator = await startSimulator(['--sim-faults', 'crash-after=5', ...SLOW]);
  const events = await eventsOf(await simulator.ask(LONG));
  expect(events.at(-1)).toBe('cut');
  expect(await simulator.exited).toMatchObject({ signal: 'SIGKILL' });
});

test('freeze-core: no token and no engine step, /health 200, new requests hang; without the fault all go on', async () => {
  await using simulator = await startSimulator(SLOW);
  const { events } = await runningStream(simulator, { ...LONG, max_tokens: 60 });
  await simulator.fault({ 'freeze-core': true });
  const steps = await simulator.metric('vllm:iteration_tokens_total_count');
  await expect(simulator.ask({ max_tokens: 1 }, AbortSignal.timeout(300))).rejects.toMatchObject({
    name: 'TimeoutError',
  });
  expect(await simulator.metric('vllm:iteration_tokens_total_count')).toBe(steps);
  expect(await simulator.metric('vllm:num_requests_running')).toBe(1);
  expect(await simulator.health()).toBe(200);
  await simulator.fault({ 'freeze-core': null });
  expect((await events).at(-1)).toBe('[DONE]');
});

test('freeze-decode: the engine dies after VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS', async () => {
  await using simulator = await startSimulator(SLOW, { env: { VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS: '0.3' } });
  const { events } = await runningStream(simulator);
  await simulator.fault({ 'freeze-decode': true });
  expect(await simulator.health()).toBe(200);
  expect((await events).at(-1)).toBe('[DONE]');
  expect(await simulator.exited).toMatchObject({ code: 0 });
  expect(simulator.output()).toContain('RPC call to execute_model timed out');
});

test('saturate: requests wait while engine steps go on, and are answered once the fault is off', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ saturate: true });
  const asked = simulator.ask({ max_tokens: 3 });
  await eventually('waiting', async () => (await simulator.metric('vllm:num_requests_waiting')) === 1);
  const steps = await simulator.metric('vllm:iteration_tokens_total_count');
  await eventually('steps', async () => (await simulator.metric('vllm:iteration_tokens_total_count')) > steps);
  await simulator.fault({ saturate: null });
  expect((await asked).status).toBe(200);
});

test('refuse, fail-requests and answer-status: 503, 500 and the given status, as many times as given', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ refuse: true, times: 2 });
  const seen = [];
  for (let i = 0; i < 3; i += 1) seen.push((await simulator.ask({ max_tokens: 1 })).status);
  expect(seen).toEqual([503, 503, 200]);
  await simulator.fault({ refuse: null, times: null, 'fail-requests': true });
  expect((await simulator.ask({ max_tokens: 1 })).status).toBe(500);
  await simulator.fault({ 'fail-requests': null, 'answer-status': 429 });
  expect((await simulator.ask({ max_tokens: 1 })).status).toBe(429);
});

test('hang-after: a stream falls silent, other requests are answered', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ 'hang-after': 2, times: 1 });
  const events = eventsOf(await simulator.ask({ ...LONG, max_tokens: 5 }));
  await eventually('all tokens', async () => (await simulator.metric('vllm:generation_tokens_total')) >= 5);
  expect((await simulator.ask({ max_tokens: 1 })).status).toBe(200);
  expect(await Promise.race([events, Promise.resolve('silence')])).toBe('silence');
  await simulator[Symbol.asyncDispose]();
  expect((await events).filter((event) => event !== 'cut')).toHaveLength(2);
});

test('cut-after: the socket closes within a stream, other requests are answered', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ 'cut-after': 4, times: 1 });
  const events = await eventsOf(await simulator.ask({ ...LONG, max_tokens: 50 }));
  expect(events.at(-1)).toBe('cut');
  expect(events.length).toBeLessThanOrEqual(4 + 1);
  expect((await eventsOf(await simulator.ask({ ...LONG, max_tokens: 50 }))).at(-1)).toBe('[DONE]');
  await eventually('the cut one was aborted', async () => (await simulator.metric('vllm:num_requests_running')) === 0);
});

test('malformed-at: one event is invalid JSON', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ 'malformed-at': 3 });
  const events = await eventsOf(await simulator.ask({ ...LONG, max_tokens: 10 }));
  const broken = events.map((event) => event !== '[DONE]' && !event.endsWith('}'));
  expect(broken.filter(Boolean)).toHaveLength(1);
});

test('a stream that ends before its fault is none of the `times`', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ 'malformed-at': 9, times: 1 });
  const asked = async (tokens: number): Promise<string[]> =>
    eventsOf(await simulator.ask({ ...LONG, max_tokens: tokens }));
  const isBroken = (events: readonly string[]): boolean =>
    events.some((event) => event !== '[DONE]' && !event.endsWith('}'));
  expect([await asked(2), await asked(20), await asked(20)].map(isBroken)).toEqual([false, true, false]);
});

test('error-after: an error event and [DONE] in an orderly stream', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ 'error-after': 3 });
  const events = await eventsOf(await simulator.ask({ ...LONG, max_tokens: 50 }));
  expect(events.slice(-2)).toEqual([expect.stringContaining('{"error":'), '[DONE]']);
});

test('exit: the process exits immediately with the code', async () => {
  await using simulator = await startSimulator();
  await simulator.fault({ exit: 7 }).catch(() => undefined);
  expect(await simulator.exited).toMatchObject({ code: 7 });
});

test.each([
  ['model-missing', 'Cannot find an appropriate cached snapshot folder'],
  ['engine-init', 'Engine core initialization failed'],
  ['worker-init', 'WorkerProc initialization failed'],
  ['no-cache-memory', 'No available memory for the cache blocks'],
  ['cache-too-small', "To serve at least one request with the model's max seq len"],
  ['memory-taken', 'Free memory on device'],
  ['out-of-memory', 'CUDA out of memory'],
  ['untrusted-code', 'trust_remote_code=True'],
  ['port-busy', 'Address already in use'],
  ['context-over-model', 'greater than the derived max_model_len'],
])('fail-start=%s: exit code 1 and vLLM’s message', async (cause, words) => {
  await using simulator = await startSimulator(['--sim-faults', `fail-start=${cause}`], { isReady: false });
  expect(await simulator.exited).toMatchObject({ code: 1 });
  expect(simulator.output()).toContain(words);
});

test('a start that hangs ignores SIGTERM', async () => {
  await using simulator = await startSimulator(['--sim-faults', 'fail-start=hang'], { isReady: false });
  await eventually('loading', () => simulator.output().includes('Starting to load model'));
  simulator.kill('SIGTERM');
  simulator.kill('SIGKILL');
  expect(await simulator.exited).toMatchObject({ signal: 'SIGKILL' });
});

test('slow-start: ready only after the time', async () => {
  const begun = performance.now();
  await using simulator = await startSimulator(['--sim-faults', 'slow-start=600']);
  expect(performance.now() - begun).toBeGreaterThan(550);
  expect(await simulator.health()).toBe(200);
});

test('--sim-core-process: if it is killed, the engine dies; if the server is killed with SIGKILL, it runs on', async () => {
  const childOf = async (pid: number): Promise<number> =>
    Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ')[0]);
  await using first = await startSimulator([...SLOW, '--sim-core-process']);
  const { events } = await runningStream(first);
  process.kill(await childOf(first.pid), 'SIGKILL');
  expect((await events).at(-1)).toBe('[DONE]');
  expect(await first.exited).toMatchObject({ code: 0 });

  await using second = await startSimulator(['--sim-core-process']);
  const core = await childOf(second.pid);
  second.kill('SIGKILL');
  await second.exited;
  // Throws if the process does not exist.
  expect(process.kill(core, 'SIGKILL')).toBe(true);
});

test('unknown faults are refused, on the control route and at the start', async () => {
  await using simulator = await startSimulator();
  expect((await simulator.fault({ 'no-such': true })).status).toBe(400);
  expect(await (await simulator.fault({ saturate: true })).json()).toEqual({ saturate: true });
  expect(await (await fetch(`${simulator.url}/sim/faults`, { method: 'DELETE' })).json()).toEqual({});
  await using other = await startSimulator(['--sim-faults', 'no-such'], { isReady: false });
  expect(await other.exited).toMatchObject({ code: 2 });
});
