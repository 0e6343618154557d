import { existsSync, statfsSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { askVmSize } from './azure.ts';
import type { MachineFacts } from './facts.ts';
import { askDriver, visibleGpus } from './nvidia-smi.ts';
import { askVllmVersion } from './vllm-version.ts';
import { hubCache } from './weights.ts';

const GIB = 2 ** 30;
/** Where Azure mounts the temporary disk of a VM. */
const AZURE_TEMPORARY_DISK = '/mnt';

/**
 * Reads the facts of this machine; a fact that cannot be read is null, never an error.
 * @param asked `sku`: the Azure size, if the operator set it. `briefly`: skip the slow questions, for a simulator
 */
export async function readFacts(
  env: NodeJS.ProcessEnv,
  asked: { readonly sku: string | undefined; readonly briefly?: boolean },
): Promise<MachineFacts> {
  const { sku, briefly = false } = asked;
  const [driver, vmSize, vllm] = await Promise.all([
    askDriver(env),
    sku === undefined && !briefly ? askVmSize() : (sku ?? null),
    briefly ? null : askVllmVersion(env),
  ]);
  return {
    sku: vmSize,
    vcpus: cpus().length,
    memory_gib: totalmem() / GIB,
    free_disk_gib: Math.max(...[hubCache(env), AZURE_TEMPORARY_DISK, tmpdir()].map(freeGib)),
    driver: driver.driver,
    gpus: visibleGpus(driver.gpus, env['CUDA_VISIBLE_DEVICES']),
    gpu_problem: driver.problem,
    vllm,
  };
}

/** Free disk space, in GiB, where a folder exists or would be created. */
export function freeGib(folder: string): number {
  for (let path = folder; ; path = dirname(path)) {
    if (!existsSync(path) && path !== dirname(path)) continue;
    try {
      const { bavail, bsize } = statfsSync(path);
      return (bavail * bsize) / GIB;
    } catch {
      return 0;
    }
  }
}
