import { createServer } from 'node:http';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { askVmSize } from '../../../worker-launcher/preflight/azure.ts';
import { askDriver, parseReport, visibleGpus } from '../../../worker-launcher/preflight/nvidia-smi.ts';
import { askVllmVersion, commandOnPath } from '../../../worker-launcher/preflight/vllm-version.ts';
import { checkWeights } from '../../../worker-launcher/preflight/weights.ts';
import { freePort } from '#runtime/free-port';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-machine-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function script(name: string, text: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(folder, name), 0o755);
}
const env = () => ({ PATH: `${folder}:/usr/bin:/bin` });

test('the driver’s report of each GPU is read', () => {
  const listed = [
    'GPU-5a1f, NVIDIA A100 80GB PCIe, 81920, 4, 0, Disabled, 580.95.05, 8.0',
    'GPU-77c2, NVIDIA A100 80GB PCIe, 81920, 73210, 2, Enabled, 580.95.05',
    'GPU-90ab, NVIDIA RTX A6000, 49140, 10, [N/A], [N/A], 580.95.05, [N/A]',
    'Unable to determine the device handle for GPU0003:00:00.0: GPU is lost.  Reboot the system to recover this GPU',
  ].join('\n');
  const { driver, gpus, problem } = parseReport(listed);
  expect(driver).toBe('580.95.05');
  expect(gpus.map(({ uuid, used_mib, ecc_errors, mig }) => [uuid, used_mib, ecc_errors, mig])).toEqual([
    ['GPU-5a1f', 4, 0, false],
    ['GPU-77c2', 73_210, 2, true],
    ['GPU-90ab', 10, null, false],
  ]);
  // The second one's driver does not know the question.
  expect(gpus.map(({ compute_capability: capability }) => capability)).toEqual([8, null, null]);
  expect(problem).toContain('GPU is lost');
});

test('a missing driver, a silent driver, and a working one', async () => {
  expect((await askDriver(env())).problem).toBe('the command nvidia-smi is missing, so there is no NVIDIA driver');
  script('nvidia-smi', 'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9');
  expect((await askDriver(env())).problem).toMatch(/^NVIDIA-SMI has failed/);
  script('nvidia-smi', 'echo "GPU-1, NVIDIA H100 80GB HBM3, 81559, 1, 0, Disabled, 580.1"');
  expect(await askDriver(env())).toMatchObject({ driver: '580.1', problem: null, gpus: [{ uuid: 'GPU-1' }] });
});

test('the launcher may be limited to some GPUs', () => {
  const all = [{ uuid: 'GPU-5a1f' }, { uuid: 'GPU-77c2' }];
  const seen = (visible: string | undefined) => visibleGpus(all, visible).map(({ uuid }) => uuid);
  expect(seen(undefined)).toEqual(['GPU-5a1f', 'GPU-77c2']);
  expect(seen('1,0')).toEqual(['GPU-77c2', 'GPU-5a1f']);
  expect(seen('GPU-77')).toEqual(['GPU-77c2']);
  expect(seen('1,-1,0')).toEqual(['GPU-77c2']);
  expect(seen('')).toEqual([]);
});

test('the request to Azure has its header; without a service the size is null', async () => {
  const server = createServer((req, res) => {
    if (req.headers['metadata'] === 'true') res.end('Standard_NC48ads_A100_v4');
    else res.writeHead(400).end();
  });
  const port = await freePort();
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  expect(await askVmSize(`http://127.0.0.1:${port}/`)).toBe('Standard_NC48ads_A100_v4');
  await new Promise((done) => {
    server.close(done);
    server.closeAllConnections();
  });
  expect(await askVmSize(`http://127.0.0.1:${port}/`)).toBeNull();
});

test('the version of vLLM is read from the metadata of its Python, else from the command', async () => {
  expect(await askVllmVersion({ PATH: folder })).toBeNull();
  script('vllm', 'echo "INFO something 1 else"; echo 0.24.0+cu129');
  expect(await askVllmVersion(env())).toBe('0.24.0');
  script('python3', 'echo 0.33.1');
  writeFileSync(join(folder, 'vllm'), `#!${join(folder, 'python3')}\n`);
  expect(await askVllmVersion(env())).toBe('0.33.1');
  expect(commandOnPath('vllm', env().PATH)).toBe(join(folder, 'vllm'));
});

const look = (name: string, change: object = {}) =>
  checkWeights(name, {
    revision: undefined,
    engineArgs: [],
    env: { HF_HOME: folder },
    needGib: 7.9,
    freeGib: 100,
    ...change,
  });

test('weights in a folder: every file in its index must exist', () => {
  expect(look(join(folder, 'none')).problem).toContain('cannot be read');
  expect(look(folder).problem).toContain('has no config.json');
  writeFileSync(join(folder, 'config.json'), '{}');
  expect(look(folder).problem).toContain('has no weight files');
  expect(look(folder, { engineArgs: ['--load-format', 'dummy'] }).problem).toBeNull();
  writeFileSync(join(folder, 'model-1.safetensors'), 'x');
  expect(look(folder)).toMatchObject({ problem: null, kind: 'folder', folder });
  const weight_map = { a: 'model-1.safetensors', b: 'model-2.safetensors' };
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
  expect(look(folder).problem).toBe(`${folder} lacks model-2.safetensors`);
});

test('weights of the hub: in its cache, to be downloaded, or unavailable', () => {
  const revision = 'c45209e90a4c4f7d16b2e9d48503c7f3e83623ed';
  expect(look('some/model', { revision })).toMatchObject({ kind: 'hub', folder: null, problem: null });
  expect(look('some/model', { revision, freeGib: 3 }).problem).toBe(
    'the download needs 7.9 GiB of disk, but only 3.0 GiB are free',
  );
  const offline = { HF_HOME: folder, HF_HUB_OFFLINE: '1' };
  expect(look('some/model', { revision, env: offline }).problem).toContain('HF_HUB_OFFLINE is set');
  const snapshot = join(folder, 'hub/models--some--model/snapshots', revision);
  mkdirSync(snapshot, { recursive: true });
  writeFileSync(join(snapshot, 'config.json'), '{}');
  writeFileSync(join(snapshot, 'model.safetensors'), 'x');
  expect(look('some/model', { revision, env: offline })).toMatchObject({ folder: snapshot, problem: null });
});
