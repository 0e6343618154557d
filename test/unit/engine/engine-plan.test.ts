import { expect, test } from '@jest/globals';
import { loadConfig } from '../../../worker-launcher/config.ts';
import { parseGpuList, planEngines, visibleGpus } from '../../../worker-launcher/engine-plan.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const card = phi3Card();
const config = (env: Record<string, string> = {}) => loadConfig({ WORKER_REDIS_URL: 'redis://localhost', ...env });
const BARE = { gpus: [], vllmOnPath: false };
const TWO_GPUS = { gpus: ['GPU-a', 'GPU-b'], vllmOnPath: true };

test('a machine without GPUs runs one simulator', () => {
  expect(planEngines(config(), card, BARE)).toEqual({
    kind: 'simulator',
    engines: [{ id: 'engine-0', gpu: undefined }],
    slots: { text: 256, image: 32 },
  });
  expect(planEngines(config(), card, { ...TWO_GPUS, vllmOnPath: false }).kind).toBe('simulator');
  expect(planEngines(config(), card, { ...TWO_GPUS, gpus: [] }).kind).toBe('simulator');
});

test('a machine with GPUs and vLLM runs one vLLM a GPU', () => {
  const plan = planEngines(config(), card, TWO_GPUS);
  expect(plan.kind).toBe('vllm');
  expect(plan.engines).toEqual([
    { id: 'engine-0', gpu: 'GPU-a' },
    { id: 'engine-1', gpu: 'GPU-b' },
  ]);
});

test('settings decide the number of engines and their places', () => {
  const env = { WORKER_ENGINES: '3', WORKER_MAX_IN_FLIGHT_TEXT: '8', WORKER_MAX_IN_FLIGHT_IMAGE: '2' };
  const plan = planEngines(config(env), card, BARE);
  expect(plan.engines).toHaveLength(3);
  expect(plan.slots).toEqual({ text: 8, image: 2 });
});

test('vLLM may be asked for without a GPU, and must then be there', () => {
  const wanted = config({ WORKER_ENGINE: 'vllm' });
  expect(planEngines(wanted, card, { gpus: [], vllmOnPath: true }).engines).toEqual([
    { id: 'engine-0', gpu: undefined },
  ]);
  expect(() => planEngines(wanted, card, BARE)).toThrow('no command vllm is on PATH');
});

test('more engines than GPUs are refused', () => {
  expect(() => planEngines(config({ WORKER_ENGINES: '3' }), card, TWO_GPUS)).toThrow('offers 2 GPUs');
});

test('GPUs are known by UUID, and the launcher may be limited to some', () => {
  const listed = [
    'GPU 0: NVIDIA A100 80GB PCIe (UUID: GPU-5a1f)',
    'GPU 1: NVIDIA A100 80GB PCIe (UUID: GPU-77c2)',
    '  MIG 1g.10gb Device  0: (UUID: MIG-1)',
  ].join('\n');
  const all = parseGpuList(listed);
  expect(all).toEqual(['GPU-5a1f', 'GPU-77c2']);
  expect(visibleGpus(all, undefined)).toEqual(all);
  expect(visibleGpus(all, '1,0')).toEqual(['GPU-77c2', 'GPU-5a1f']);
  expect(visibleGpus(all, 'GPU-77')).toEqual(['GPU-77c2']);
  expect(visibleGpus(all, '1,-1,0')).toEqual(['GPU-77c2']);
  expect(visibleGpus(all, '')).toEqual([]);
});
