import { expect, test } from '@jest/globals';
import { GpuWatch } from '../../../worker-launcher/fleet/gpu-watch.ts';
import type { DriverReport } from '../../../worker-launcher/preflight/nvidia-smi.ts';

const gpu = (uuid: string, ecc_errors = 0) => ({
  uuid,
  name: 'A100',
  memory_mib: 1,
  used_mib: 0,
  ecc_errors,
  compute_capability: 8,
  mig: false,
});
const report = (...gpus: ReturnType<typeof gpu>[]): DriverReport => ({ driver: '580', gpus, problem: null });

function watched(reports: DriverReport[], accepted: [string, number][] = []) {
  const told: string[] = [];
  const watch = new GpuWatch({
    engines: new Map([
      ['engine-0', ['GPU-a']],
      ['engine-1', ['GPU-b']],
    ]),
    accepted: new Map(accepted),
    ask: async () => reports.shift() ?? report(gpu('GPU-a'), gpu('GPU-b')),
    onLost: (engine, reason) => told.push(`${engine} lost: ${reason}`),
    onBack: (engine) => told.push(`${engine} back`),
  });
  return { watch, told };
}

test('a GPU missing twice in a row takes its engine out, once, until it returns; the other engine runs on', async () => {
  const missing = { ...report(gpu('GPU-a')), problem: 'GPU is lost.' };
  const { watch, told } = watched([missing, missing, missing]);
  await watch.look();
  expect(told).toEqual([]);
  for (let n = 0; n < 2; n += 1) await watch.look();
  expect(told).toEqual(['engine-1 lost: GPU GPU-b is missing in nvidia-smi: GPU is lost.']);
  for (let n = 0; n < 2; n += 1) await watch.look();
  expect(told.slice(1)).toEqual(['engine-1 back']);
});

test('one check without an answer is not a loss', async () => {
  const { watch, told } = watched([report()]);
  for (let n = 0; n < 3; n += 1) await watch.look();
  expect(told).toEqual([]);
});

test('new uncorrected errors count; those accepted at the start do not', async () => {
  const errors = report(gpu('GPU-a', 2), gpu('GPU-b', 1));
  const { watch, told } = watched([errors, errors], [['GPU-a', 2]]);
  for (let n = 0; n < 2; n += 1) await watch.look();
  expect(told).toEqual(['engine-1 lost: GPU GPU-b has 1 uncorrected ECC errors; it needs a reset']);
});
