import type { ModelCard } from '#contract/model-card';
import { gpusOfSize } from './azure.ts';
import type { GpuFact, MachineFacts } from './facts.ts';

export interface Check {
  readonly what: string;
  readonly wanted: string;
  readonly found: string;
  readonly passes: boolean;
}

/** A machine reports less memory and disk than its size's page: firmware, kernel and file system keep some. */
const SHOWN_SHARE = 0.95;
/** Oldest driver branch for vLLM from 0.33 on, because its wheel includes CUDA 13. Source: NVIDIA's table of CUDA releases. */
const DRIVER_BRANCH = 580;

/** Compares the machine with the card, one row per requirement. Pure. */
export function checkMachine(card: ModelCard, facts: MachineFacts, gpuMemoryUtilization: number): Check[] {
  const { hardware } = card;
  const sizeGpus = gpusOfSize(facts.sku);
  const wantedGpus = Math.max(hardware.min_gpus, sizeGpus ?? 0);
  const count = facts.gpus.length;
  return [
    {
      what: 'Azure size',
      wanted: hardware.allowed_skus.join(', '),
      found: facts.sku ?? 'unknown (set WORKER_SKU)',
      passes: facts.sku !== null && hardware.allowed_skus.includes(facts.sku),
    },
    atLeast('vCPUs', hardware.min_vcpus, facts.vcpus, 1, ''),
    {
      what: 'GPUs',
      wanted: String(wantedGpus),
      found: facts.gpu_problem === null ? String(count) : `${count} (${facts.gpu_problem})`,
      passes: count >= wantedGpus && facts.gpu_problem === null,
    },
    atLeast('memory', hardware.min_memory_gib, facts.memory_gib, SHOWN_SHARE, ' GiB'),
    atLeast('free disk', hardware.min_disk_gib, facts.free_disk_gib, SHOWN_SHARE, ' GiB'),
    ...driverCheck(facts),
    ...facts.gpus.map((gpu, index) => gpuCheck(gpu, index, hardware, gpuMemoryUtilization)),
  ];
}

/** @returns the problems of a GPU; undefined if it has none */
export function gpuProblem(
  gpu: GpuFact,
  { min_compute_capability: least = 0 }: ModelCard['hardware'],
  gpuMemoryUtilization: number,
): string | undefined {
  const problems = [];
  if (gpu.compute_capability !== null && gpu.compute_capability < least)
    problems.push(`compute capability ${gpu.compute_capability.toFixed(1)}`);
  if (gpu.mig) problems.push('split by MIG');
  if ((gpu.ecc_errors ?? 0) > 0) problems.push(`${gpu.ecc_errors} uncorrected ECC errors`);
  if (gpu.used_mib > gpu.memory_mib * (1 - gpuMemoryUtilization))
    problems.push(`${gpu.used_mib} of ${gpu.memory_mib} MiB in use by other processes`);
  return problems.length === 0 ? undefined : problems.join(', ');
}

function gpuCheck(gpu: GpuFact, index: number, hardware: ModelCard['hardware'], gpuMemoryUtilization: number): Check {
  const { min_compute_capability: least, tested_gpus: tested } = hardware;
  const problem = gpuProblem(gpu, hardware, gpuMemoryUtilization);
  const isTested = tested === undefined || tested.some((name) => gpu.name.includes(name));
  return {
    what: `GPU ${index}`,
    wanted: [
      'no MIG, free memory, no ECC errors',
      ...(least === undefined ? [] : [`compute capability ${least.toFixed(1)}`]),
      ...(tested === undefined ? [] : [`tested: ${tested.join(', ')}`]),
    ].join(', '),
    found: `${gpu.name} ${gpu.uuid}${isTested ? '' : ', not tested'}${problem === undefined ? '' : `: ${problem}`}`,
    passes: problem === undefined,
  };
}

function driverCheck({ driver, vllm }: MachineFacts): Check[] {
  if (driver === null || vllm === null || !needsCuda13(vllm)) return [];
  const passes = Number(driver.split('.')[0]) >= DRIVER_BRANCH;
  return [{ what: 'NVIDIA driver', wanted: `${DRIVER_BRANCH} for vLLM ${vllm}`, found: driver, passes }];
}

function needsCuda13(vllm: string): boolean {
  const [major = 0, minor = 0] = vllm.split('.').map(Number);
  return major > 0 || minor >= 33;
}

function atLeast(what: string, wanted: number, found: number, share: number, unit: string): Check {
  return {
    what,
    wanted: `${wanted}${unit}${share === 1 ? '' : ` (${Math.round(wanted * share)} reported)`}`,
    found: `${Math.round(found * 10) / 10}${unit}`,
    passes: found >= wanted * share,
  };
}
