import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';
import { askEngine, setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { either } from '../support/full-length.ts';
import { supervise, type Supervised } from '../support/supervised.ts';

const SIMULATOR = fileURLToPath(new URL('../../dist/worker-launcher/simulator/main.js', import.meta.url));
/** The product's limits, or shorter ones; one check per second is the minimum. */
const STALL = either(
  { stallMs: 5_000, hangMs: 20_000, idleCanaryMs: 30_000 },
  { stallMs: 1_500, hangMs: 4_000, idleCanaryMs: 3_000 },
);
const SATURATED_MS = either(600_000, 5 * STALL.hangMs);

function simulated(): Promise<Supervised> {
  return supervise({
    command: (socket) => ({
      file: process.execPath,
      argv: [SIMULATOR, 'serve', 'm', '--served-model-name', 'some-model', '--uds', socket],
      env: { PATH: '/usr/bin:/bin', PENSTOCK_SIM_ITL_MS: '20' },
    }),
    limits: { probes: 3 },
    stall: STALL,
  });
}

async function fault(engine: Supervised, faults: Record<string, boolean | null>): Promise<void> {
  await setFaults(engine, faults);
}

function ask(engine: Supervised, change: object = {}): ReturnType<typeof askEngine> {
  const body = { model: 'some-model', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 10_000, ...change };
  const headers = { 'content-type': 'application/json' };
  return askEngine(engine, '/v1/chat/completions', { method: 'POST', headers, body: JSON.stringify(body) });
}

test.each(['freeze-decode', 'freeze-core'])(
  '%s under load: out of dispatch, its group killed, a new process in its place',
  async (name) => {
    await using engine = await simulated();
    const first = await engine.until('ready');
    const answer = ask(engine).then(
      async (response) => response.text(),
      () => 'cut',
    );
    engine.load = 1;
    await fault(engine, { [name]: true });
    const since = performance.now();
    await engine.until('suspect');
    expect(performance.now() - since).toBeLessThan(STALL.stallMs + 5_000);
    const next = await eventually(
      'another engine',
      () => {
        const { view } = engine.supervisor;
        return view.state === 'ready' && view.pid !== first.pid ? view : undefined;
      },
      15_000,
    );
    expect(await answer).toBe('cut');
    expect(groupMembers(first.pid ?? 0)).toEqual([]);
    expect(engine.restarts).toEqual(['unresponsive']);
    expect(next.lastFailure).toMatch(
      /^stopped making progress and was killed; no engine step for \d+ s, with \d+ requests in flight$/,
    );
  },
);

test('an engine that froze while idle is detected without a request', async () => {
  await using engine = await simulated();
  await engine.until('ready');
  await fault(engine, { 'freeze-core': true });
  await eventually('a replacement', () => engine.restarts.length > 0, 20_000);
  expect(engine.restarts).toEqual(['unresponsive']);
});

test('an engine that only paused returns with the same process', async () => {
  await using engine = await simulated();
  const first = await engine.until('ready');
  void ask(engine).catch(() => {});
  engine.load = 1;
  await fault(engine, { 'freeze-core': true });
  await engine.until('suspect');
  await fault(engine, { 'freeze-core': null });
  expect((await engine.until('ready')).pid).toBe(first.pid);
  expect(engine.restarts).toEqual([]);
});

test(
  'a saturated engine and one that answers 4xx and 500 stay in service, for many times the limits',
  async () => {
    await using engine = await simulated();
    await engine.until('ready');
    await fault(engine, { saturate: true });
    engine.load = 3;
    for (let n = 0; n < 3; n += 1) void ask(engine).catch(() => {});
    engine.supervisor.hint();
    await engine.until('ready');
    const since = performance.now();
    let refused = 0;
    await eventually(
      'ten minutes, or five times the limit of a hang',
      async () => {
        const { status } = await ask(engine, { messages: [], temperature: 9 });
        if (status === 400) refused += 1;
        return performance.now() - since > SATURATED_MS;
      },
      SATURATED_MS + 10_000,
    );
    expect(refused).toBeGreaterThan(100);
    expect(engine.supervisor.view.state).toBe('ready');
    expect(engine.restarts).toEqual([]);
    const doubts = engine.views.filter(({ state }) => state === 'suspect').length;
    // the suspicion that the hint caused
    expect(doubts).toBe(1);
  },
  SATURATED_MS + 40_000,
);
