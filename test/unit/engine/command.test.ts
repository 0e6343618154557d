import { expect, test } from '@jest/globals';
import type { ModelCard } from '#contract/model-card';
import { dispensable, engineCommand, type CommandOptions } from '../../../worker-launcher/engine/command.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const card = phi3Card();
const options: CommandOptions = {
  kind: 'vllm',
  simulatorPath: '/app/dist/worker-launcher/simulator/main.js',
  address: { socket: '/run/penstock/engine-0.7.sock' },
  slots: { text: 256, image: 32 },
  extraArgs: [],
  env: {},
};

/** The arguments between a flag and the next one. */
function valuesOf(argv: readonly string[], flag: string): string[] {
  const from = argv.lastIndexOf(flag) + 1;
  const to = argv.findIndex((word, index) => index >= from && word.startsWith('--'));
  return argv.slice(from, to < 0 ? undefined : to);
}

test('vLLM is started from the card: name and aliases, context, images, pinned code', () => {
  const { file, argv } = engineCommand(card, options);
  expect(file).toBe('vllm');
  expect(argv.slice(0, 2)).toEqual(['serve', card.engine.weights]);
  expect(valuesOf(argv, '--served-model-name')).toEqual([card.name, ...card.aliases]);
  expect(valuesOf(argv, '--uds')).toEqual(['/run/penstock/engine-0.7.sock']);
  expect(valuesOf(argv, '--max-model-len')).toEqual(['131072']);
  expect(valuesOf(argv, '--max-num-seqs')).toEqual(['288']);
  expect(valuesOf(argv, '--limit-mm-per-prompt')).toEqual(['{"image":1}']);
  expect(valuesOf(argv, '--mm-processor-kwargs')).toEqual(['{"num_crops":16}']);
  for (const flag of ['--revision', '--tokenizer-revision', '--code-revision'])
    expect(valuesOf(argv, flag)).toEqual([card.engine.revision]);
  expect(argv).toContain('--trust-remote-code');
  expect(valuesOf(argv, '--shutdown-timeout')).toEqual(['30']);
  expect(argv).toContain('--enable-prompt-tokens-details');
  expect(argv).toContain('--enable-request-id-headers');
});

test('N13: an engine has a TCP port only if one is set, on loopback', () => {
  const socket = engineCommand(card, options).argv;
  expect(socket).not.toContain('--port');
  expect(socket).not.toContain('--host');
  const { argv } = engineCommand(card, { ...options, address: { port: 4711 } });
  expect(argv).not.toContain('--uds');
  expect(valuesOf(argv, '--host')).toEqual(['127.0.0.1']);
  expect(valuesOf(argv, '--port')).toEqual(['4711']);
});

test('the simulator gets the same arguments', () => {
  const simulator = engineCommand(card, { ...options, kind: 'simulator' });
  expect(simulator.file).toBe(process.execPath);
  expect(simulator.argv).toEqual([options.simulatorPath, ...engineCommand(card, options).argv]);
});

test('other weights have no revision of the card, and the operator’s arguments win', () => {
  const { argv } = engineCommand(card, {
    ...options,
    weights: '/models/tiny',
    extraArgs: ['--max-model-len', '2048'],
  });
  expect(argv[1]).toBe('/models/tiny');
  expect(argv).not.toContain('--revision');
  expect(argv).not.toContain('--code-revision');
  expect(argv.slice(-2)).toEqual(['--max-model-len', '2048']);
});

test('a text model without remote code gets neither image nor trust flags', () => {
  const text: ModelCard = {
    ...card,
    modalities: { input: ['text'], output: ['text'] },
    engine: { ...card.engine, trust_remote_code: false },
  };
  const { argv } = engineCommand(text, options);
  expect(argv.filter((word) => /mm-|trust|code-revision/.test(word))).toEqual([]);
  expect(argv).toContain('--revision');
});

const LAUNCHER_ENV = {
  PATH: '/usr/bin',
  HOME: '/root',
  HF_HOME: '/models',
  HF_TOKEN: 'hf_abcdefgh',
  NVIDIA_VISIBLE_DEVICES: 'all',
  VLLM_LOG_STATS_INTERVAL: '5',
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'name=value',
  VLLM_API_KEY: 'would-lock-us-out',
  VLLM_PORT: 'tcp://10.0.0.1:80',
  VLLM_SERVICE_HOST: '10.0.0.1',
  VLLM_PORT_80_TCP_ADDR: '10.0.0.1',
  VLLM_HTTP_TIMEOUT_KEEP_ALIVE: '5',
  WORKER_REDIS_URL: 'redis://:secret@cache:6379',
  GATEWAY_PORT: '8080',
  REDIS_URL: 'redis://:secret@cache:6379',
  AWS_SECRET_ACCESS_KEY: 'secret',
  PENSTOCK_SIM_ITL_MS: '20',
  NODE_OPTIONS: '--inspect',
};

test('the engine gets an explicit list of variables: no Redis, no settings of ours, no service links', () => {
  const { env } = engineCommand(card, { ...options, env: LAUNCHER_ENV });
  expect(env).toEqual({
    PATH: '/usr/bin',
    HOME: '/root',
    HF_HOME: '/models',
    HF_TOKEN: 'hf_abcdefgh',
    NVIDIA_VISIBLE_DEVICES: 'all',
    VLLM_LOG_STATS_INTERVAL: '5',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'name=value',
    VLLM_NO_USAGE_STATS: '1',
    DO_NOT_TRACK: '1',
    VLLM_HTTP_TIMEOUT_KEEP_ALIVE: '65',
    VLLM_MEDIA_URL_ALLOW_REDIRECTS: '0',
    VLLM_MEDIA_FETCH_MAX_RETRIES: '1',
    PYTHONUNBUFFERED: '1',
  });
});

test('only the simulator gets its own settings', () => {
  const { env } = engineCommand(card, { ...options, kind: 'simulator', env: LAUNCHER_ENV });
  expect(env['PENSTOCK_SIM_ITL_MS']).toBe('20');
  expect(env).not.toHaveProperty('NODE_OPTIONS');
  expect(JSON.stringify(env)).not.toContain('secret');
});

test('an engine sees only its assigned GPU, whatever the launcher sees', () => {
  const { env } = engineCommand(card, { ...options, gpus: ['GPU-b'], env: { CUDA_VISIBLE_DEVICES: '0,1' } });
  expect(env['CUDA_VISIBLE_DEVICES']).toBe('GPU-b');
});

test('the machine’s plan decides an engine’s context, GPUs, memory and threads', () => {
  const plan = {
    maxModelLen: 65_536,
    tensorParallel: 2,
    gpuMemoryUtilization: 0.9,
    cpus: 12,
    gpus: ['GPU-a', 'GPU-b'],
  };
  const { argv, env } = engineCommand(card, { ...options, ...plan });
  expect(valuesOf(argv, '--max-model-len')).toEqual(['65536']);
  expect(valuesOf(argv, '--tensor-parallel-size')).toEqual(['2']);
  expect(valuesOf(argv, '--gpu-memory-utilization')).toEqual(['0.9']);
  expect(env).toMatchObject({ CUDA_VISIBLE_DEVICES: 'GPU-a,GPU-b', OMP_NUM_THREADS: '12' });
  const bare = engineCommand(card, options).argv;
  expect(bare).not.toContain('--tensor-parallel-size');
  expect(bare).not.toContain('--gpu-memory-utilization');
});

test('an optional argument that a vLLM release refuses is left out', () => {
  const refused = (text: string) => dispensable(['usage: vllm serve', `vllm: error: unrecognized arguments: ${text}`]);
  expect(refused('--shutdown-timeout 30')).toEqual(['--shutdown-timeout']);
  expect(refused('--shutdown-timeout 30 --max-num-seqs 288')).toEqual([]);
  expect(dispensable(['ValueError: x'])).toEqual([]);
  const { argv } = engineCommand(card, { ...options, without: new Set(['--shutdown-timeout']) });
  expect(argv).not.toContain('--shutdown-timeout');
  expect(argv).not.toContain('30');
  expect(argv).toContain('--enable-request-id-headers');
});
