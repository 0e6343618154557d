import type { WorkerConfig } from '../config.ts';
import type { Limits } from '../engine/state.ts';
import type { StallLimits } from '../engine/watch.ts';
import type { EnginePlan } from '../preflight/engine-plan.ts';

/** How long each state of an engine may last, in milliseconds. */
export function limitsFrom(config: WorkerConfig): Limits {
  return {
    startMs: config.WORKER_START_TIMEOUT_MS,
    drainMs: config.WORKER_DRAIN_TIMEOUT_MS,
    settleMs: 500,
    stopMs: config.WORKER_ENGINE_STOP_TIMEOUT_MS,
    probes: 3,
    suspectMs: 90_000,
    backoffMs: 1_000,
    backoffCapMs: 60_000,
    stableMs: 60_000,
  };
}

/** Whether all engines of a plan are vLLM without a GPU. */
export function onCpu({ kind, engines }: EnginePlan): boolean {
  return kind === 'vllm' && engines.every(({ gpus }) => gpus.length === 0);
}

/**
 * How long an engine may show no progress, in milliseconds.
 * @param onCpu vLLM without a GPU, where one step over a new picture takes up to ten seconds
 */
export function stallLimitsFrom(config: WorkerConfig, onCpu: boolean): StallLimits {
  const stallMs = config.WORKER_STALL_MS ?? (onCpu ? 30_000 : 5_000);
  return {
    stallMs,
    hangMs: Math.max(config.WORKER_HANG_MS ?? 4 * stallMs, stallMs),
    idleCanaryMs: config.WORKER_IDLE_CANARY_MS,
  };
}
