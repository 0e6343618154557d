import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { loadConfig } from '../../../worker-launcher/config.ts';
import { preflightCommand } from '../../../worker-launcher/preflight/command.ts';
import { readFactsFile } from '../../../worker-launcher/preflight/facts.ts';
import { missing, preflight, type Preflight } from '../../../worker-launcher/preflight/preflight.ts';
import { renderPreflight } from '../../../worker-launcher/preflight/report.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const MACHINES = resolve(import.meta.dirname, '../../fixtures/machines');
const card = phi3Card();

function check(machine: string, env: Record<string, string> = {}): Preflight {
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost', ...env });
  return preflight(config, card, readFactsFile(`${MACHINES}/${machine}.json`), { env: {}, elsewhere: true });
}

test.each([
  ['nc48ads', 2, 21],
  ['nc96ads', 4, 21],
  ['nd96amsr', 8, 10],
])('%s passes, with %i replicas, one per GPU', (machine, replicas, cpus) => {
  const { passes, placement } = check(machine);
  expect(passes).toBe(true);
  expect(placement.tensor_parallel).toBe(1);
  expect(placement.engines).toHaveLength(replicas);
  expect(new Set(placement.engines.flatMap(({ gpus }) => gpus)).size).toBe(replicas);
  expect(placement.max_model_len).toBe(131_072);
  expect(placement.max_in_flight).toEqual({ text: 256, image: 32 });
  expect(placement.cpus_per_engine).toBe(cpus);
  expect(placement.memory).toEqual({
    gpu_gib: 80,
    usable_gib: 72.86,
    weights_gib: 7.91,
    working_gib: 2.3,
    kv_gib: 62.65,
    kv_bytes_per_token: 393_216,
    kv_tokens: 171_087,
    contexts: 1.31,
  });
});

test('the arithmetic agrees with the free memory of a real 80 GB GPU', () => {
  const facts = readFactsFile(`${MACHINES}/nc48ads.json`);
  const h100 = { ...facts, gpus: facts.gpus.map((gpu) => ({ ...gpu, memory_mib: 81_559 })) };
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost' });
  const { memory } = preflight(config, card, h100, { env: {}, elsewhere: true }).placement;
  // vLLM 0.24 on an H100 reported 62.3 GiB and 170,155 tokens
  expect(Math.abs((memory?.kv_tokens ?? 0) / 170_155 - 1)).toBeLessThan(0.01);
});

test('Standard_NC24ads_A100_v4 fails, and each missing number is named', () => {
  const result = check('nc24ads');
  expect(result.passes).toBe(false);
  expect(missing(result)).toEqual([
    expect.stringMatching(/^Azure size: found Standard_NC24ads_A100_v4, needs Standard_NC48ads_A100_v4,/),
    'vCPUs: found 24, needs 48',
    'GPUs: found 1, needs 2',
    'memory: found 216.5 GiB, needs 440 GiB (418 reported)',
    'free disk: found 62.1 GiB, needs 128 GiB (122 reported)',
  ]);
});

test('a machine without GPUs fails, and each missing number is named', () => {
  expect(missing(check('cpu-box'))).toEqual([
    expect.stringMatching(/^Azure size: found unknown/),
    'vCPUs: found 4, needs 48',
    'GPUs: found 0 (the command nvidia-smi is missing, so there is no NVIDIA driver), needs 2',
    'memory: found 15.6 GiB, needs 440 GiB (418 reported)',
    'free disk: found 40.2 GiB, needs 128 GiB (122 reported)',
  ]);
});

test.each([
  ['nc48ads-gpu-in-use', '73210 of 81920 MiB in use by other processes', ['GPU-00000000-a100']],
  ['nc48ads-ecc', '3 uncorrected ECC errors', ['GPU-00000001-a100']],
])('%s fails with the reason; with an override, that GPU gets no engine', (machine, why, used) => {
  const result = check(machine);
  expect(missing(result)).toEqual([expect.stringContaining(why)]);
  expect(result.placement.engines.flatMap(({ gpus }) => gpus)).toEqual(used);
});

test('a GPU without flash attention fails and gets no engine; one that the card does not name passes', () => {
  const facts = readFactsFile(`${MACHINES}/nc48ads.json`);
  const older = { name: 'Tesla V100-PCIE-32GB', compute_capability: 7 };
  const newer = { name: 'NVIDIA L40S', compute_capability: 8.9 };
  const gpus = facts.gpus.map((gpu, index) => ({ ...gpu, ...(index === 0 ? older : newer) }));
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost' });
  const { checks, placement } = preflight(config, card, { ...facts, gpus }, { env: {}, elsewhere: true });
  expect(checks.filter(({ what }) => what.startsWith('GPU ')).map(({ found, passes }) => [found, passes])).toEqual([
    ['Tesla V100-PCIE-32GB GPU-00000000-a100, not tested: compute capability 7.0', false],
    ['NVIDIA L40S GPU-00000001-a100, not tested', true],
  ]);
  expect(placement.engines.flatMap((engine) => engine.gpus)).toEqual(['GPU-00000001-a100']);
});

test.each([
  ['nc48ads-no-driver', "0 (NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.), needs 2"],
  ['nd96amsr-gpu-lost', '7 (Unable to determine the device handle for GPU0007:00:00.0: GPU is lost.), needs 8'],
])('%s: the driver is quoted', (machine, said) => {
  expect(missing(check(machine))).toEqual([`GPUs: found ${said}`]);
});

test('each part of the plan can be overridden', () => {
  const { placement } = check('nd96amsr', {
    WORKER_TENSOR_PARALLEL: '2',
    WORKER_ENGINES: '3',
    WORKER_MAX_MODEL_LEN: '65536',
    WORKER_GPU_MEMORY_UTILIZATION: '0.8',
    WORKER_MAX_IN_FLIGHT_TEXT: '64',
    WORKER_MAX_IN_FLIGHT_IMAGE: '8',
    WORKER_ENGINE_CPUS: '12',
    WORKER_ENGINE_PORT: '9000',
  });
  expect(placement).toMatchObject({
    tensor_parallel: 2,
    max_model_len: 65_536,
    gpu_memory_utilization: 0.8,
    max_in_flight: { text: 64, image: 8 },
    cpus_per_engine: 12,
    problems: [],
  });
  expect(placement.engines).toEqual([
    { id: 'engine-0', gpus: ['GPU-00000000-a100', 'GPU-00000001-a100'], port: 9000 },
    { id: 'engine-1', gpus: ['GPU-00000002-a100', 'GPU-00000003-a100'], port: 9001 },
    { id: 'engine-2', gpus: ['GPU-00000004-a100', 'GPU-00000005-a100'], port: 9002 },
  ]);
});

test('GPUs too small for one full context are joined; if it still does not fit, the message has the number that does', () => {
  const facts = readFactsFile(`${MACHINES}/nd96amsr.json`);
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost' });
  const of = (memory_mib: number) =>
    preflight(
      config,
      card,
      { ...facts, gpus: facts.gpus.map((gpu) => ({ ...gpu, memory_mib })) },
      { env: {}, elsewhere: true },
    ).placement;
  expect(of(40_960)).toMatchObject({ tensor_parallel: 2, problems: [] });
  expect(of(40_960).engines).toHaveLength(4);
  expect(of(8_192).problems).toEqual([
    expect.stringMatching(/^a context of 131072 tokens does not fit, only \d+ tokens do/),
  ]);
  expect(of(2_048).problems).toEqual([expect.stringContaining('nothing remains for the KV cache')]);
});

test('a driver too old for this vLLM is missing too', () => {
  const facts = { ...readFactsFile(`${MACHINES}/nc48ads.json`), driver: '550.54.15' };
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost' });
  const of = (vllm: string) => missing(preflight(config, card, { ...facts, vllm }, { env: {}, elsewhere: true }));
  expect(of('0.33.0')).toEqual(['NVIDIA driver: found 550.54.15, needs 580 for vLLM 0.33.0']);
  expect(of('0.24.0')).toEqual([]);
});

const asked = { json: false, overrideSku: false, modelsDir: 'deploy/models', env: {} };

test('N9: the images pin vLLM 0.33.0; an older one passes, with a warning', () => {
  const dockerfile = readFileSync('deploy/worker-launcher.Dockerfile', 'utf8');
  expect(dockerfile).toContain('VLLM_IMAGE=docker.io/vllm/vllm-openai:v0.33.0\n');
  const config = loadConfig({ WORKER_REDIS_URL: 'redis://localhost' });
  const facts = readFactsFile(`${MACHINES}/nd96amsr.json`);
  const of = (vllm: string | null): Preflight =>
    preflight(config, card, { ...facts, vllm }, { env: {}, elsewhere: true });
  for (const vllm of ['0.33.0', '0.33.1', '0.40.0', '1.0.0', null]) expect(of(vllm).warnings).toEqual([]);
  for (const vllm of ['0.24.0', '0.32.0', '0.9.2']) {
    const old = of(vllm);
    expect([old.passes, old.warnings]).toEqual([
      of('0.33.0').passes,
      [expect.stringContaining(`vLLM ${vllm} is older than 0.33.0`)],
    ]);
    expect(renderPreflight(old)).toContain(`WARNING vLLM ${vllm}`);
  }
});

test('the command prints table, arithmetic and plan, and exits with its verdict', async () => {
  const good = await preflightCommand({ ...asked, facts: `${MACHINES}/nc48ads.json` });
  expect(good.passes).toBe(true);
  expect(good.text).toContain('2 replicas, tensor parallel 1, --max-model-len 131072');
  expect(good.text).toContain('72.86 usable of 80 - 7.91 weights (measured) - 2.3 working = 62.65 for the KV cache');
  expect(good.text).toContain('engine-1: GPU-00000001-a100, unix socket');
  const bad = await preflightCommand({ ...asked, facts: `${MACHINES}/nc24ads.json` });
  expect(bad.passes).toBe(false);
  expect(bad.text).toMatch(/MISSING {2}vCPUs +24 +needs 48/);
  expect((await preflightCommand({ ...asked, facts: `${MACHINES}/nc24ads.json`, overrideSku: true })).passes).toBe(
    true,
  );
});

test('the JSON of one run can be the facts of another', async () => {
  const { text } = await preflightCommand({ ...asked, json: true, facts: `${MACHINES}/nd96amsr.json` });
  const { facts, passes } = JSON.parse(text) as { facts: unknown; passes: boolean };
  expect(passes).toBe(true);
  expect(facts).toEqual(readFactsFile(`${MACHINES}/nd96amsr.json`));
});

test('invalid facts are refused in a sentence that names the file and the field', async () => {
  await expect(preflightCommand({ ...asked, facts: '/nowhere.json' })).rejects.toMatchObject({
    message: expect.stringContaining('the facts file /nowhere.json (WORKER_FACTS_FILE or --facts) cannot be read'),
  });
  await expect(preflightCommand({ ...asked, facts: 'package.json' })).rejects.toMatchObject({
    message: expect.stringContaining('vcpus'),
  });
});
