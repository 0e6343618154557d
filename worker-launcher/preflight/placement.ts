import type { ModelCard } from '#contract/model-card';
import type { GpuFact, MachineFacts } from './facts.ts';
import type { ModelShape } from './model-shape.ts';

/** The operator's settings; if one is absent, the plan chooses. */
export interface PlacementWishes {
  readonly engines?: number | undefined;
  readonly tensorParallel?: number | undefined;
  readonly maxModelLen?: number | undefined;
  readonly gpuMemoryUtilization?: number | undefined;
  readonly text?: number | undefined;
  readonly image?: number | undefined;
  readonly cpus?: number | undefined;
  /** TCP port of the first engine; each further engine takes the next port; absent: unix sockets */
  readonly port?: number | undefined;
}

/** GiB of one GPU; `kv_tokens` of one engine. */
interface MemoryPlan {
  readonly gpu_gib: number;
  readonly usable_gib: number;
  readonly weights_gib: number;
  readonly working_gib: number;
  readonly kv_gib: number;
  readonly kv_bytes_per_token: number;
  readonly kv_tokens: number;
  /** number of full contexts that fit together */
  readonly contexts: number;
}

export interface PlannedEngine {
  readonly id: string;
  /** UUIDs; none: no GPU is assigned */
  readonly gpus: readonly string[];
  /** null: it listens on a unix socket */
  readonly port: number | null;
}

export interface Placement {
  readonly engines: readonly PlannedEngine[];
  readonly tensor_parallel: number;
  readonly max_model_len: number;
  readonly gpu_memory_utilization: number;
  readonly max_in_flight: { readonly text: number; readonly image: number };
  readonly cpus_per_engine: number;
  /** null: the model's shape is unknown, or there is no GPU */
  readonly memory: MemoryPlan | null;
  /** why this plan cannot work */
  readonly problems: readonly string[];
}

const MIB_PER_GIB = 1_024;
const GIB = 2 ** 30;
/** vLLM's default. */
const UTILIZATION = 0.92;
/** The driver keeps about this share of nvidia-smi's total. */
const DRIVER_SHARE = 0.01;
/** Activations and graphs, measured on an H100: 72.5 GiB usable - 7.91 weights - 62.3 cache. */
const WORKING_GIB = 2.3;
/** A slot needs this much KV cache: a short conversation, or a picture of the largest cost with its answer. */
const TOKENS_A_TEXT = 512;
const TOKENS_AN_IMAGE = 3_165;
/** CPUs for the system, this launcher and its dispatchers. */
const CPU_SHARE_OF_OTHERS = 1 / 8;
const CPUS_OF_OTHERS = 4;

/**
 * Plans how engines are placed on the GPUs of a machine, with the smallest tensor parallel at which one full context fits.
 * For a model that fits one GPU, several engines have more throughput than one large group. Pure.
 * @param gpus the usable ones
 */
export function placeEngines(
  card: ModelCard,
  facts: Pick<MachineFacts, 'vcpus'>,
  gpus: readonly GpuFact[],
  shape: ModelShape | undefined,
  wishes: PlacementWishes,
): Placement {
  const utilization = wishes.gpuMemoryUtilization ?? UTILIZATION;
  const context = wishes.maxModelLen ?? card.limits.context_tokens;
  const problems: string[] = [];
  const smallestMib = Math.min(...gpus.map(({ memory_mib }) => memory_mib));
  const planned = (parallel: number): MemoryPlan | null =>
    shape === undefined || gpus.length === 0
      ? null
      : planMemory(shape, smallestMib / MIB_PER_GIB, utilization, parallel, context);
  const choices = [1, 2, 4, 8].filter(
    (size) => size <= Math.max(gpus.length, 1) && (shape?.heads ?? size) % size === 0,
  );
  const fitting = choices.find((size) => (planned(size)?.kv_tokens ?? context) >= context);
  const parallel = wishes.tensorParallel ?? fitting ?? choices.at(-1) ?? 1;
  const memory = planned(parallel);
  if (memory !== null && memory.kv_tokens < context)
    problems.push(
      memory.kv_tokens <= 0
        ? `the weights need ${gib(memory.weights_gib)} of ${gib(memory.usable_gib)} usable GPU memory: nothing remains for the KV cache; raise WORKER_TENSOR_PARALLEL`
        : `a context of ${context} tokens does not fit, only ${memory.kv_tokens} tokens do: lower WORKER_MAX_MODEL_LEN or raise WORKER_TENSOR_PARALLEL`,
    );
  if (shape !== undefined && shape.heads % parallel !== 0)
    problems.push(
      `tensor parallel ${parallel} does not divide the model's ${shape.heads} heads: change WORKER_TENSOR_PARALLEL`,
    );

  const most = Math.floor(gpus.length / parallel);
  const count = wishes.engines ?? Math.max(most, 1);
  if (gpus.length > 0 && count > most)
    problems.push(
      `WORKER_ENGINES is ${count}, but this machine has ${gpus.length} usable GPUs, and an engine needs ${parallel}`,
    );
  const cpus = facts.vcpus - Math.max(CPUS_OF_OTHERS, facts.vcpus * CPU_SHARE_OF_OTHERS);
  return {
    engines: Array.from({ length: count }, (_, index) => ({
      id: `engine-${index}`,
      gpus: gpus.slice(index * parallel, (index + 1) * parallel).map(({ uuid }) => uuid),
      port: wishes.port === undefined ? null : wishes.port + index,
    })),
    tensor_parallel: parallel,
    max_model_len: context,
    gpu_memory_utilization: utilization,
    max_in_flight: slotsOf(card, memory, wishes),
    cpus_per_engine: wishes.cpus ?? Math.max(1, Math.floor(cpus / count)),
    memory,
    problems,
  };
}

function planMemory(
  shape: ModelShape,
  gpuGib: number,
  utilization: number,
  parallel: number,
  context: number,
): MemoryPlan {
  const usable = gpuGib * (1 - DRIVER_SHARE) * utilization;
  const weights = shape.weights_gib / parallel;
  const kv = Math.max(0, usable - weights - WORKING_GIB);
  const tokens = Math.floor((kv * parallel * GIB) / shape.kv_bytes_per_token);
  return {
    gpu_gib: round(gpuGib),
    usable_gib: round(usable),
    weights_gib: round(weights),
    working_gib: WORKING_GIB,
    kv_gib: round(kv),
    kv_bytes_per_token: shape.kv_bytes_per_token,
    kv_tokens: tokens,
    contexts: round(tokens / context),
  };
}

function slotsOf(card: ModelCard, memory: MemoryPlan | null, wishes: PlacementWishes): Placement['max_in_flight'] {
  const { text, image } = card.engine.max_in_flight;
  const most = (wanted: number, tokens: number): number =>
    memory === null ? wanted : Math.max(1, Math.min(wanted, Math.floor(memory.kv_tokens / tokens)));
  return {
    text: wishes.text ?? most(text, TOKENS_A_TEXT),
    image: card.modalities.input.includes('image')
      ? (wishes.image ?? (image === 0 ? 0 : most(image, TOKENS_AN_IMAGE)))
      : 0,
  };
}

const round = (value: number): number => Math.round(value * 100) / 100;
const gib = (value: number): string => `${round(value)} GiB`;
