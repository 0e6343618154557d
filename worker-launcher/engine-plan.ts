import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { ModelCard } from '#contract/model-card';
import type { WorkerConfig } from './config.ts';
import type { EngineKind } from './engine/command.ts';

/** What this machine offers to engines. */
export interface MachineFacts {
  /** UUIDs of the GPUs that may be used */
  readonly gpus: readonly string[];
  readonly vllmOnPath: boolean;
}

interface PlannedEngine {
  readonly id: string;
  /** absent: no GPU is assigned */
  readonly gpu: string | undefined;
}

export interface EnginePlan {
  readonly kind: EngineKind;
  readonly engines: readonly PlannedEngine[];
  /** of each engine */
  readonly slots: { readonly text: number; readonly image: number };
}

/**
 * Which engines to start: one a GPU, as this model gains nothing from a larger group; without GPUs one.
 * @throws Error in one sentence when the settings ask for what the machine has not
 */
export function planEngines(config: WorkerConfig, card: ModelCard, facts: MachineFacts): EnginePlan {
  const { WORKER_ENGINE: wanted } = config;
  const kind = wanted === 'auto' ? (facts.gpus.length > 0 && facts.vllmOnPath ? 'vllm' : 'simulator') : wanted;
  if (kind === 'vllm' && !facts.vllmOnPath) throw new Error('WORKER_ENGINE is vllm, but no command vllm is on PATH');
  const gpus = kind === 'vllm' ? facts.gpus : [];
  const count = config.WORKER_ENGINES ?? Math.max(gpus.length, 1);
  if (gpus.length > 0 && count > gpus.length)
    throw new Error(`WORKER_ENGINES is ${String(count)}, but this machine offers ${String(gpus.length)} GPUs`);
  const image = config.WORKER_MAX_IN_FLIGHT_IMAGE ?? card.engine.max_in_flight.image;
  return {
    kind,
    engines: Array.from({ length: count }, (_, index) => ({ id: `engine-${String(index)}`, gpu: gpus[index] })),
    slots: {
      text: config.WORKER_MAX_IN_FLIGHT_TEXT ?? card.engine.max_in_flight.text,
      image: card.modalities.input.includes('image') ? image : 0,
    },
  };
}

/** Asks the machine; a tool that is missing or fails means that there is no GPU. */
export async function readMachineFacts(env: NodeJS.ProcessEnv): Promise<MachineFacts> {
  const listed = await new Promise<string>((resolve) => {
    execFile('nvidia-smi', ['-L'], { timeout: 10_000, env: { PATH: env['PATH'] } }, (error, stdout) =>
      resolve(error === null ? stdout : ''),
    );
  });
  return {
    gpus: visibleGpus(parseGpuList(listed), env['CUDA_VISIBLE_DEVICES']),
    vllmOnPath: isOnPath('vllm', env['PATH'] ?? ''),
  };
}

/** UUIDs from `nvidia-smi -L`, whose lines are `GPU 0: NVIDIA A100 80GB PCIe (UUID: GPU-…)`. */
export function parseGpuList(listed: string): string[] {
  return [...listed.matchAll(/^GPU \d+: .*\(UUID: (GPU-[^)]+)\)/gm)].map(([, uuid]) => uuid ?? '');
}

/**
 * The launcher's own `CUDA_VISIBLE_DEVICES` narrows the machine's list.
 * @param visible numbers or UUIDs, comma-separated; undefined: all; as in CUDA, what follows an unknown entry is not seen
 */
export function visibleGpus(all: readonly string[], visible: string | undefined): string[] {
  if (visible === undefined) return [...all];
  const seen: string[] = [];
  for (const item of visible.split(',').map((text) => text.trim())) {
    const uuid = /^\d+$/.test(item) ? all[Number(item)] : all.find((known) => item !== '' && known.startsWith(item));
    if (uuid === undefined) break;
    seen.push(uuid);
  }
  return seen;
}

function isOnPath(command: string, path: string): boolean {
  return path
    .split(delimiter)
    .filter((folder) => folder !== '')
    .some((folder) => {
      try {
        accessSync(join(folder, command), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
