import { expect, test } from '@jest/globals';
import { checkPools, workersWanted, type Pools } from '../../../gateway/workers/scale.ts';
import type { WorkerReport } from '#contract/registry';

const CARD = { text: 100, image: 10 };
const POOLS: Pools = { small: { phi: { engines: 2 } } };

function report(
  pool: string,
  node: string,
  over: Partial<WorkerReport> = {},
  load = { text: 0, image: 0 },
): WorkerReport {
  const engine = {
    id: 'engine-0',
    model: 'phi',
    pid: 1,
    port: 1,
    state: 'ready' as const,
    slots: { text: 50, image: 5 },
  };
  const base = { incarnation: `d-${node}`, pid: 2, launcherPid: 3, node, pool, contract: [1], draining: false };
  return { ...base, engines: [{ ...engine, inFlight: load }], ...over };
}

function wanted(
  pool: string,
  { pools = POOLS, workers = [] as WorkerReport[], text = 0, image = 0 } = {},
): Promise<number | undefined> {
  return workersWanted(pool, {
    pools,
    slotsOf: () => CARD,
    workers: () => workers,
    waiting: (_model, kind) => Promise.resolve(kind === 'text' ? text : image),
  });
}

test('a pool at zero needs workers for its waiting requests, by its settings and its card', async () => {
  expect(await wanted('small')).toBe(0);
  expect(await wanted('small', { text: 1 })).toBe(1);
  expect(await wanted('small', { text: 200 })).toBe(1);
  expect(await wanted('small', { text: 201 })).toBe(2);
  expect(await wanted('small', { text: 1, image: 50 })).toBe(3);
});

test('running requests keep their workers, and a worker’s report wins over the card', async () => {
  const workers = [report('small', 'a', {}, { text: 50, image: 0 }), report('small', 'b', {}, { text: 1, image: 0 })];
  expect(await wanted('small', { workers })).toBe(2);
  expect(await wanted('small', { workers, text: 100 })).toBe(4);
});

test('several dispatchers of one launcher are one worker', async () => {
  const two = [report('small', 'a'), report('small', 'a', { incarnation: 'd-2' })];
  expect(await wanted('small', { workers: two, text: 100 })).toBe(1);
});

test('a leaving worker needs no successor', async () => {
  const leaving = report('small', 'a', { draining: true }, { text: 50, image: 0 });
  expect(await wanted('small', { workers: [leaving] })).toBe(0);
});

test('slots in a pool setting win over report and card', async () => {
  const pools = { small: { phi: { engines: 2, text: 5 } } };
  expect(await wanted('small', { pools, workers: [report('small', 'a')], text: 100 })).toBe(10);
});

test('pools that serve the same model share its waiting requests', async () => {
  const pools = { ...POOLS, large: { phi: { engines: 8 } } };
  expect([await wanted('small', { pools, text: 800 }), await wanted('large', { pools, text: 800 })]).toEqual([2, 1]);
});

test('a pool without a setting is answered once it has workers; an unknown pool is not', async () => {
  const workers = [report('spare', 'a', {}, { text: 3, image: 0 })];
  expect(await wanted('spare', { workers })).toBe(1);
  expect(await wanted('nowhere', { workers })).toBeUndefined();
});

test('a pool setting with an unknown model is refused at the start', () => {
  expect(() => checkPools(POOLS, ['other'])).toThrow('GATEWAY_POOLS: pool small serves phi, but no card has that name');
});
