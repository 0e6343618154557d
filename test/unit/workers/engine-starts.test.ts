import { expect, test } from '@jest/globals';
import type { WorkerReport } from '#contract/registry';
import { EngineStarts } from '../../../gateway/workers/engine-starts.ts';

type State = WorkerReport['engines'][number]['state'];
const MODEL = 'phi-3';

function worker(...states: State[]): WorkerReport {
  const engines = states.map((state, n) => ({
    id: `engine-${n}`,
    model: MODEL,
    pid: null,
    port: 1,
    state,
    slots: { text: 8, image: 2 },
    inFlight: { text: 0, image: 0 },
  }));
  return { incarnation: 'i', pid: 2, launcherPid: 1, node: 'n', pool: 'p', draining: false, engines };
}

test('an engine that starts is expected after as long as the last start took', () => {
  const starts = new EngineStarts();
  starts.look([], 0);
  starts.look([worker('starting')], 1_000);
  expect(starts.expectedMs(MODEL, 1_500)).toBeUndefined();
  starts.look([worker('warming')], 30_000);
  starts.look([worker('ready')], 41_000);
  expect(starts.expectedMs(MODEL, 41_000)).toBeUndefined();
  starts.look([worker('backoff')], 50_000);
  starts.look([worker('starting', 'starting')], 60_000);
  expect(starts.expectedMs(MODEL, 70_000)).toBe(30_000);
  expect(starts.expectedMs(MODEL, 200_000)).toBe(0);
  expect(starts.expectedMs('other', 70_000)).toBeUndefined();
});

test('a start that had begun before the first look is no measurement', () => {
  const starts = new EngineStarts();
  starts.look([worker('starting')], 0);
  starts.look([worker('ready')], 5_000);
  starts.look([worker('starting')], 10_000);
  expect(starts.expectedMs(MODEL, 10_000)).toBeUndefined();
});

test('a worker that leaves takes its starts with it', () => {
  const starts = new EngineStarts();
  starts.look([], 0);
  starts.look([worker('starting')], 0);
  starts.look([worker('ready')], 20_000);
  starts.look([worker('starting')], 30_000);
  starts.look([], 31_000);
  expect(starts.expectedMs(MODEL, 31_000)).toBeUndefined();
});
