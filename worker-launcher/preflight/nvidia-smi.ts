import { execFile } from 'node:child_process';
import type { GpuFact } from './facts.ts';

/** The driver's report; `problem` is for people. */
export interface DriverReport {
  readonly driver: string | null;
  readonly gpus: readonly GpuFact[];
  readonly problem: string | null;
}

const FIELDS = [
  'uuid',
  'name',
  'memory.total',
  'memory.used',
  'ecc.errors.uncorrected.volatile.total',
  'mig.mode.current',
  'driver_version',
  'compute_cap',
];
const WITHIN_MS = 20_000;

/** Runs `nvidia-smi`, which takes about a second, longer with many GPUs. */
export function askDriver(env: NodeJS.ProcessEnv): Promise<DriverReport> {
  const args = [`--query-gpu=${FIELDS.join(',')}`, '--format=csv,noheader,nounits'];
  return new Promise((resolve) => {
    execFile('nvidia-smi', args, { timeout: WITHIN_MS, env: { PATH: env['PATH'] } }, (error, stdout, stderr) => {
      const report = parseReport(stdout);
      if (error === null) resolve(report);
      else if (error.code === 'ENOENT')
        resolve({ ...report, problem: 'the command nvidia-smi is missing, so there is no NVIDIA driver' });
      else resolve({ ...report, problem: problemIn(`${stdout}\n${stderr}`) ?? `nvidia-smi: ${error.message}` });
    });
  });
}

/** Source: `nvidia-smi --query-gpu`, one line per GPU; a missing value is `[N/A]`, a lost GPU is a sentence. */
export function parseReport(stdout: string): DriverReport {
  const gpus: GpuFact[] = [];
  let driver: string | null = null;
  for (const line of stdout.split('\n')) {
    const [uuid = '', name = '', total, used, ecc, mig, version, capability] = line
      .split(',')
      .map((field) => field.trim());
    if (!uuid.startsWith('GPU-') || version === undefined) continue;
    driver = version;
    gpus.push({
      uuid,
      name,
      memory_mib: Number(total),
      used_mib: Number(used),
      ecc_errors: ecc !== undefined && /^\d+$/.test(ecc) ? Number(ecc) : null,
      compute_capability: capability !== undefined && /^\d+(\.\d+)?$/.test(capability) ? Number(capability) : null,
      mig: mig === 'Enabled',
    });
  }
  return { driver, gpus, problem: problemIn(stdout) };
}

function problemIn(text: string): string | null {
  const failure = /has failed|couldn't communicate|GPU is lost|Unable to determine|No devices were found|\berr!/i;
  return (
    text
      .split('\n')
      .find((line) => failure.test(line))
      ?.trim() ?? null
  );
}

/**
 * Reduces the machine's GPUs to the launcher's own `CUDA_VISIBLE_DEVICES`.
 * @param visible numbers or UUIDs, comma-separated; undefined: all. As in CUDA, entries after an unknown one are ignored
 */
export function visibleGpus<Gpu extends { readonly uuid: string }>(
  all: readonly Gpu[],
  visible: string | undefined,
): Gpu[] {
  if (visible === undefined) return [...all];
  const seen: Gpu[] = [];
  for (const item of visible.split(',').map((text) => text.trim())) {
    const gpu = /^\d+$/.test(item) ? all[Number(item)] : all.find(({ uuid }) => item !== '' && uuid.startsWith(item));
    if (gpu === undefined) break;
    seen.push(gpu);
  }
  return seen;
}
