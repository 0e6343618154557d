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
  /** undefined without GPUs: the engine has no such thing */
  readonly gpuMemoryUtilization: number | undefined;
  readonly preflight: Preflight;
  /** what the card asks for and this machine has not, where that is no reason to refuse */
  readonly warnings: readonly string[];
}

/**
 * Which engines this machine runs. `auto` takes vLLM where the driver answers and the command is there, else the simulator.
 * The machine must pass the card's preflight, unless the operator overrides it; a simulator runs anywhere, and so does a
 * vLLM that was asked for by name on a machine without GPU, driver or known size: its build for CPUs, for trying things out.
 * @throws Error that names everything that is missing
 */
export function planEngines(
  config: WorkerConfig,
  card: ModelCard,
  machine: { readonly facts: MachineFacts; readonly vllmOnPath: boolean; readonly env: NodeJS.ProcessEnv },
): EnginePlan {
  const { WORKER_ENGINE: wanted } = config;
  const { facts, vllmOnPath, env } = machine;
  const kind = wanted === 'auto' ? (facts.gpus.length > 0 && vllmOnPath ? 'vllm' : 'simulator') : wanted;
  if (kind === 'vllm' && !vllmOnPath) throw new Error('WORKER_ENGINE is vllm, but no command vllm is on PATH');
  // A simulator takes no GPU, and no part of the plan depends on one.
  const used = kind === 'vllm' ? facts : { ...facts, gpus: [] };
  const result = preflight(config, card, used, { env, elsewhere: kind === 'simulator' });
  const { placement } = result;
  const short = missing(result);
  const tryingOut = kind === 'simulator' || (facts.gpus.length === 0 && facts.sku === null);
  if (short.length > 0 && !tryingOut && !config.WORKER_OVERRIDE_SKU)
    throw new Error(
      [
        `this machine does not pass the preflight of ${card.name} (WORKER_OVERRIDE_SKU=true goes on all the same)`,
        ...short,
      ].join('\n  '),
    );
  // Not a matter of the card: without its GPU an engine cannot be started.
  if (used.gpus.length > 0 && placement.engines.some(({ gpus }) => gpus.length < placement.tensor_parallel))
    throw new Error(['the engines cannot be placed on the sound GPUs of this machine', ...short].join('\n  '));
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
