import type { ModelCard } from '#contract/model-card';
import type { WorkerConfig } from '../config.ts';
import type { EngineKind } from '../engine/command.ts';
import type { MachineFacts } from './facts.ts';
import type { Placement, PlannedEngine } from './placement.ts';
import { missing, preflight, type Preflight } from './preflight.ts';

export interface EnginePlan {
  readonly kind: EngineKind;
  readonly engines: readonly PlannedEngine[];
  readonly slots: Placement['max_in_flight'];
  readonly tensorParallel: number;
  readonly maxModelLen: number;
  /** undefined without GPUs */
  readonly gpuMemoryUtilization: number | undefined;
  readonly preflight: Preflight;
  /** requirements of the card that this machine lacks, if that is no reason to refuse */
  readonly warnings: readonly string[];
}

/**
 * Plans the engines of this machine. `auto` means vLLM if the driver answers and the command exists, else the simulator.
 * The machine must pass the card's preflight, unless the operator overrides it. A simulator runs on any machine. So does
 * vLLM's CPU build, for trials: WORKER_ENGINE=vllm on a machine without GPU, driver or known size.
 * @throws Error that names every missing requirement
 */
export function planEngines(
  config: WorkerConfig,
  card: ModelCard,
  machine: { readonly facts: MachineFacts; readonly vllmOnPath: boolean; readonly env: NodeJS.ProcessEnv },
): EnginePlan {
  const { WORKER_ENGINE: wanted } = config;
  const { facts, vllmOnPath, env } = machine;
  const kind = wanted === 'auto' ? (facts.gpus.length > 0 && vllmOnPath ? 'vllm' : 'simulator') : wanted;
  if (kind === 'vllm' && !vllmOnPath)
    throw new Error(
      'WORKER_ENGINE is vllm, but the command vllm is not on PATH: install vLLM or set WORKER_ENGINE=simulator',
    );
  // A simulator uses no GPU.
  const used = kind === 'vllm' ? facts : { ...facts, gpus: [] };
  const result = preflight(config, card, used, { env, elsewhere: kind === 'simulator' });
  const { placement } = result;
  const short = missing(result);
  const tryingOut = kind === 'simulator' || (facts.gpus.length === 0 && facts.sku === null);
  if (short.length > 0 && !tryingOut && !config.WORKER_OVERRIDE_SKU)
    throw new Error(
      [
        `this machine does not pass the preflight of ${card.name}; to start anyway, set WORKER_OVERRIDE_SKU=true`,
        ...short,
      ].join('\n  '),
    );
  // No override here: an engine cannot start without its GPU.
  if (used.gpus.length > 0 && placement.engines.some(({ gpus }) => gpus.length < placement.tensor_parallel))
    throw new Error(['this machine has too few healthy GPUs for the planned engines', ...short].join('\n  '));
  return {
    kind,
    engines: placement.engines,
    slots: placement.max_in_flight,
    tensorParallel: placement.tensor_parallel,
    maxModelLen: placement.max_model_len,
    gpuMemoryUtilization: used.gpus.length > 0 ? placement.gpu_memory_utilization : undefined,
    preflight: result,
    warnings: kind === 'simulator' ? [] : short,
  };
}
