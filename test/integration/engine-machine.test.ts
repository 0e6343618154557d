import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { auditLines } from '../support/audit-lines.ts';
import { eventually } from '../support/eventually.ts';
import { startLauncher, type TestLauncher } from '../support/launcher.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MACHINES = join(ROOT, 'test/fixtures/machines');

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

/** A folder of commands that replace those of a GPU machine; removed with its scope. */
function commands(scripts: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-commands-'));
  const write = (name: string, script: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  for (const [name, script] of Object.entries(scripts)) write(name, script);
  return {
    folder,
    write,
    path: `${folder}:/usr/bin:/bin`,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const GPUS = [0, 1].map((n) => `echo "GPU-0000000${n}-a100, A100, 81920, 4, 0, Disabled, 580.95.05"`);
const SIMULATOR = join(ROOT, 'dist/worker-launcher/simulator/main.js');
/** A `vllm` command that runs the simulator. */
const VLLM = `exec '${process.execPath}' '${SIMULATOR}' "$@"`;

/** A machine whose nvidia-smi lists GPUS, with any Azure size. */
const TWO_GPUS = {
  WORKER_ENGINE: 'auto',
  WORKER_SKU: 'Standard_NC48ads_A100_v4',
  WORKER_OVERRIDE_SKU: 'true',
  WORKER_ENGINE_ARGS: '--load-format dummy',
};

/** Ends its dispatcher too, because one whose launcher is killed before it listens would stay. */
const ready = (launcher: TestLauncher, count: number): Promise<unknown> =>
  eventually(
    `${count} engines`,
    async () => {
      const { engines, dispatchers } = await launcher.status();
      const served = engines.filter(({ state }) => state === 'ready').length === count;
      return served && dispatchers.every(({ incarnation }) => incarnation !== null);
    },
    20_000,
  );

function preflight(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: '/usr/bin:/bin', HOME: tmpdir() };
  return new Promise((done) => {
    execFile(
      process.execPath,
      [join(ROOT, 'deploy/local/penstock.mjs'), 'preflight', ...args],
      { env, cwd: ROOT },
      (error, stdout, stderr) => done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

test('penstock preflight: exit code 0 on a machine of the card, 1 on another, or 0 with an override', async () => {
  const good = await preflight('--facts', join(MACHINES, 'nd96amsr.json'));
  expect([good.code, good.stdout]).toEqual([0, expect.stringContaining('8 replicas, tensor parallel 1')]);
  const bad = await preflight('--facts', 'test/fixtures/machines/nc24ads.json', '--json');
  expect(bad.code).toBe(1);
  expect(JSON.parse(bad.stdout)).toMatchObject({ passes: false, facts: { sku: 'Standard_NC24ads_A100_v4' } });
  expect((await preflight('--facts', join(MACHINES, 'nc24ads.json'), '--override-sku')).code).toBe(0);
  const wrong = await preflight('--nonsense');
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('penstock: Unknown option')]);
});

test('a launcher on a machine that the card does not allow ends with a list of the missing requirements', async () => {
  using tools = commands({ vllm: VLLM });
  await using launcher = await startLauncher(redis.url, {
    PATH: tools.path,
    WORKER_ENGINE: 'auto',
    WORKER_FACTS_FILE: join(MACHINES, 'nc24ads.json'),
    WORKER_ENGINE_ARGS: '--load-format dummy',
  });
  expect(await launcher.ended).toBe(1);
  expect(launcher.stderr()).toContain(
    'does not pass the preflight of Phi-3-vision-128k-instruct; to start anyway, set WORKER_OVERRIDE_SKU',
  );
  expect(launcher.stderr()).toContain('\n  GPUs: found 1, needs 2');
});

test('two GPUs, two engines: if one GPU is lost, only its engine stops, and returns with the GPU', async () => {
  using tools = commands({ vllm: VLLM, 'nvidia-smi': GPUS.join('\n') });
  await using launcher = await startLauncher(redis.url, {
    PATH: tools.path,
    ...TWO_GPUS,
    WORKER_GPU_CHECK_MS: '150',
    WORKER_LOG_LEVEL: 'silent',
    WORKER_AUDIT_FILE: join(tools.folder, 'audit.jsonl'),
  });
  await ready(launcher, 2);
  const [first, second] = (await launcher.status()).engines;
  expect([first?.gpus, second?.gpus]).toEqual([['GPU-00000000-a100'], ['GPU-00000001-a100']]);
  const page = await eventually('metrics of both engines', async () => {
    const text = await (await launcher.get('/metrics')).text();
    return text.includes('engine="engine-1"') && text.includes('vllm:num_requests_running{engine="engine-1"') && text;
  });
  expect(page.match(/^# TYPE vllm:num_requests_running gauge$/gm)).toHaveLength(1);

  tools.write('nvidia-smi', `${GPUS[0] ?? ''}\necho 'Unable to determine the device handle for GPU1: GPU is lost.'`);
  const lost = await eventually('the loss', async () => {
    const engine = (await launcher.status()).engines[1];
    return engine?.lastCause === 'gpu_fault' && engine;
  });
  expect(lost).toMatchObject({ state: 'stopped', pid: null });
  expect(lost.lastFailure).toMatch(/^GPU GPU-00000001-a100 is missing in nvidia-smi: Unable to determine/);
  expect((await launcher.status()).engines[0]).toMatchObject({ state: 'ready', pid: first?.pid, restarts: 0 });

  expect(await (await launcher.get('/metrics')).text()).toContain(
    'penstock_engine_out_of_service{engine="engine-1",cause="gpu_fault"} 1',
  );

  tools.write('nvidia-smi', GPUS.join('\n'));
  await ready(launcher, 2);
  const acts = auditLines(join(tools.folder, 'audit.jsonl')).filter(({ act }) => act.startsWith('engine.'));
  const ofEngine = { what: 'engine-1', who: { kind: 'program', name: 'worker-launcher' }, result: 'done' };
  expect(acts).toMatchObject([
    { act: 'engine.condemned', ...ofEngine, why: lost.lastFailure },
    { act: 'engine.restored', ...ofEngine },
  ]);
});

test('N9: vLLM 0.24 starts without an argument that it does not know, and the launcher warns that it is old', async () => {
  const old = `[ "$1" = --version ] && echo 0.24.0 && exit
case "$*" in *--enable-request-id-headers*) echo 'vllm: error: unrecognized arguments: --enable-request-id-headers' >&2; exit 2;; esac
${VLLM}`;
  using tools = commands({ vllm: old, 'nvidia-smi': GPUS.join('\n') });
  await using launcher = await startLauncher(redis.url, { PATH: tools.path, ...TWO_GPUS });
  await ready(launcher, 2);
  expect(launcher.log()).toContain('vLLM 0.24.0 is older than 0.33.0');
});

test('a GPU that is broken from the start: the other engine serves, and the pod does not restart for ever', async () => {
  const broken = `case "$CUDA_VISIBLE_DEVICES" in *00000001*) export PENSTOCK_SIM_FAULTS=fail-start=out-of-memory;; esac`;
  using tools = commands({ vllm: `${broken}\n${VLLM}`, 'nvidia-smi': GPUS.join('\n') });
  await using launcher = await startLauncher(redis.url, {
    PATH: tools.path,
    ...TWO_GPUS,
    WORKER_LOG_LEVEL: 'silent',
  });
  await eventually('the failure', async () => (await launcher.status()).engines[1]?.lastFailure !== null);
  await ready(launcher, 1);
  expect((await launcher.get('/startupz')).status).toBe(200);
  expect((await launcher.get('/readyz')).status).toBe(200);
});

test('a card that changes to smaller engines on SIGHUP: the freed GPU gets another engine', async () => {
  const half = GPUS.map((line) => line.replace('81920', '40960'));
  using tools = commands({ vllm: VLLM, 'nvidia-smi': half.join('\n') });
  const models = join(tools.folder, 'models');
  cpSync(join(ROOT, 'deploy/models'), models, { recursive: true });
  await using launcher = await startLauncher(redis.url, {
    PATH: tools.path,
    ...TWO_GPUS,
    WORKER_MODELS_DIR: models,
    WORKER_LOG_LEVEL: 'silent',
  });
  await ready(launcher, 1);
  expect((await launcher.status()).engines[0]?.gpus).toHaveLength(2);
  const file = join(models, 'phi-3-vision-128k-instruct.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/context_tokens: \d+/, 'context_tokens: 65536'));
  launcher.child.kill('SIGHUP');
  await ready(launcher, 2);
  const { engines, dispatchers } = await launcher.status();
  expect(engines.map(({ gpus }) => gpus)).toEqual([['GPU-00000000-a100'], ['GPU-00000001-a100']]);
  expect(dispatchers).toHaveLength(1);
});

test('weights of the hub are downloaded once, by its own client, before any engine starts', async () => {
  using tools = commands({ vllm: VLLM });
  const calls = join(tools.folder, 'calls');
  tools.write(
    'hf',
    `echo "$@" >> '${calls}'; echo 'Fetching 17 files:  47%|####' >&2; until [ -e '${calls}.go' ]; do sleep 0.1; done`,
  );
  await using launcher = await startLauncher(redis.url, {
    PATH: tools.path,
    HOME: tools.folder,
    WORKER_ENGINES: '2',
  });
  const waiting = await eventually('progress', async () => {
    const { engines } = await launcher.status();
    return engines.every(({ stage }) => stage === 'downloading weights, 47 %') && engines;
  });
  expect(waiting.map(({ pid }) => pid)).toEqual([null, null]);
  writeFileSync(`${calls}.go`, '');
  await ready(launcher, 2);
  expect(readFileSync(calls, 'utf8')).toMatch(
    /^download microsoft\/Phi-3-vision-128k-instruct --revision [0-9a-f]{40}\n$/,
  );
});

test('an optional argument that this release of vLLM does not know is left out', async () => {
  using tools = commands({
    vllm: `case "$*" in *--enable-request-id-headers*) echo 'vllm: error: unrecognized arguments: --enable-request-id-headers' >&2; exit 2;; esac\n${VLLM}`,
  });
  await using launcher = await startLauncher(redis.url, {
    PATH: tools.path,
    WORKER_ENGINE_ARGS: '--load-format dummy',
  });
  await ready(launcher, 1);
  const [engine] = (await launcher.status()).engines;
  expect(engine).toMatchObject({ restarts: 1, lastCause: 'bad_flag' });
});

test.each(['cache-too-small', 'no-cache-memory', 'out-of-memory', 'model-missing', 'port-busy'])(
  '/status explains a start that fails with %s in one sentence',
  async (cause) => {
    using tools = commands({ vllm: `export PENSTOCK_SIM_FAULTS=fail-start=${cause}\n${VLLM}` });
    await using launcher = await startLauncher(redis.url, {
      PATH: tools.path,
      WORKER_ENGINE_ARGS: '--load-format dummy',
      WORKER_LOG_LEVEL: 'silent',
    });
    const lastFailure = await eventually('a failure', async () => {
      const { engines, dispatchers } = await launcher.status();
      return dispatchers[0]?.incarnation !== null && engines[0]?.lastFailure;
    });
    expect(lastFailure).toMatch(/^did not start: [^;]+; [^;]+$/);
    expect((await launcher.get('/startupz')).status).toBe(503);
    expect(lastFailure).not.toMatch(/Error|Traceback/);
  },
);
