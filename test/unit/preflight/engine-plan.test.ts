import { resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { loadConfig } from '../../../worker-launcher/config.ts';
import { planEngines } from '../../../worker-launcher/preflight/engine-plan.ts';
import { readFactsFile, type MachineFacts } from '../../../worker-launcher/preflight/facts.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const card = phi3Card();
const MACHINES = resolve(import.meta.dirname, '../../fixtures/machines');
const NC48 = readFactsFile(`${MACHINES}/nc48ads.json`);
const BARE = readFactsFile(`${MACHINES}/cpu-box.json`);
/** Without a check of weight files. */
const DUMMY = { WORKER_ENGINE_ARGS: '--load-format dummy' };

function plan(facts: MachineFacts, vllmOnPath: boolean, env: Record<string, string> = {}) {
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost', ...DUMMY, ...env });
  return planEngines(config, card, { facts, vllmOnPath, env: {} });
}

test('a machine without GPUs runs one simulator, and one without vLLM as well', () => {
  expect(plan(BARE, false)).toMatchObject({
    kind: 'simulator',
    engines: [{ id: 'engine-0', gpus: [], port: null }],
    slots: { text: 256, image: 32 },
    warnings: [],
  });
  expect(plan(NC48, false).kind).toBe('simulator');
  expect(plan(BARE, true).kind).toBe('simulator');
});

test('a machine of the card runs one vLLM per GPU', () => {
  const { kind, engines, tensorParallel, gpuMemoryUtilization } = plan(NC48, true);
  expect([kind, tensorParallel, gpuMemoryUtilization]).toEqual(['vllm', 1, 0.92]);
  expect(engines.map(({ id, gpus }) => [id, ...gpus])).toEqual([
    ['engine-0', 'GPU-00000000-a100'],
    ['engine-1', 'GPU-00000001-a100'],
  ]);
});

test('settings decide the number of simulators and their slots', () => {
  const env = { WORKER_ENGINES: '3', WORKER_MAX_IN_FLIGHT_TEXT: '8', WORKER_MAX_IN_FLIGHT_IMAGE: '2' };
  const { engines, slots } = plan(BARE, false, env);
  expect(engines).toHaveLength(3);
  expect(slots).toEqual({ text: 8, image: 2 });
});

test('vLLM may run without a GPU, with a warning, if it is installed', () => {
  const wanted = { WORKER_ENGINE: 'vllm' };
  const { engines, warnings, gpuMemoryUtilization } = plan(BARE, true, wanted);
  expect(engines).toEqual([{ id: 'engine-0', gpus: [], port: null }]);
  expect(gpuMemoryUtilization).toBeUndefined();
  expect(warnings).toContain('vCPUs: found 4, needs 48');
  expect(() => plan(BARE, false, wanted)).toThrow('the command vllm is not on PATH');
});

test('a machine that the card does not allow is refused with each number, unless the operator overrides it', () => {
  const small = readFactsFile(`${MACHINES}/nc24ads.json`);
  expect(() => plan(small, true)).toThrow(
    /does not pass.*WORKER_OVERRIDE_SKU(.|\n)*vCPUs: found 24, needs 48\n {2}GPUs: found 1/,
  );
  const { engines, warnings } = plan(small, true, { WORKER_OVERRIDE_SKU: 'true' });
  expect(engines).toHaveLength(1);
  expect(warnings).toContain('GPUs: found 1, needs 2');
});

test('a GPU node without its driver is refused, with WORKER_ENGINE=vllm as well', () => {
  const broken = readFactsFile(`${MACHINES}/nc48ads-no-driver.json`);
  expect(() => plan(broken, true, { WORKER_ENGINE: 'vllm' })).toThrow("couldn't communicate with the NVIDIA driver");
});

test('more engines than GPUs are refused, also with the override', () => {
  const env = { WORKER_ENGINES: '3', WORKER_OVERRIDE_SKU: 'true' };
  expect(() => plan(NC48, true, env)).toThrow('this machine has 2 usable GPUs');
});
