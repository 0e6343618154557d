import type { ModelCard } from '#contract/model-card';
import type { WorkerConfig } from '../config.ts';
import { checkMachine, gpuProblem, type Check } from './checks.ts';
import type { MachineFacts } from './facts.ts';
import { modelShape, type ModelShape } from './model-shape.ts';
import { placeEngines, type Placement } from './placement.ts';
import { freeGib } from './read-facts.ts';
import { olderVllm } from './vllm-version.ts';
import { checkWeights, hubCache, type WeightsReport } from './weights.ts';

/** Result of a machine's check against a card, with the plan of its engines. `penstock preflight --json` prints it. */
export interface Preflight {
  readonly model: string;
  /** every check passes and the plan works */
  readonly passes: boolean;
  readonly checks: readonly Check[];
  /** warnings that don't make the machine fail; a sentence each */
  readonly warnings: readonly string[];
  readonly weights: WeightsReport | null;
  readonly shape: ModelShape | null;
  readonly placement: Placement;
}

/**
 * Checks facts against the card and plans the engines. Reads the folder of the weights, unless the facts are of another machine.
 * @param elsewhere the facts come from a file
 */
export function preflight(
  config: WorkerConfig,
  card: ModelCard,
  facts: MachineFacts,
  options: { readonly env: NodeJS.ProcessEnv; readonly elsewhere: boolean },
): Preflight {
  const weights = options.elsewhere ? null : weightsOf(config, card, options.env);
  const shape = modelShape(card.engine.weights, weights?.folder ?? undefined, weights?.size_gib ?? 0);
  const utilization = config.WORKER_GPU_MEMORY_UTILIZATION;
  const plan = (gpus: MachineFacts['gpus']): Placement =>
    placeEngines(card, facts, gpus, shape, {
      engines: config.WORKER_ENGINES,
      tensorParallel: config.WORKER_TENSOR_PARALLEL,
      maxModelLen: config.WORKER_MAX_MODEL_LEN,
      gpuMemoryUtilization: utilization,
      text: config.WORKER_MAX_IN_FLIGHT_TEXT,
      image: config.WORKER_MAX_IN_FLIGHT_IMAGE,
      cpus: config.WORKER_ENGINE_CPUS,
      port: config.WORKER_ENGINE_PORT,
    });
  const checks = checkMachine(card, facts, plan(facts.gpus).gpu_memory_utilization);
  // A GPU with problems gets no engine, even with an override.
  const placement = plan(
    facts.gpus.filter((gpu) => gpuProblem(gpu, card.hardware, plan(facts.gpus).gpu_memory_utilization) === undefined),
  );
  const sound = checks.every(({ passes }) => passes) && (weights?.problem ?? null) === null;
  return {
    model: card.name,
    passes: sound && placement.problems.length === 0,
    checks,
    warnings: [olderVllm(facts.vllm)].filter((warning) => warning !== undefined),
    weights,
    shape: shape ?? null,
    placement,
  };
}

/** The missing requirements, for one log line or one message. */
export function missing({ checks, weights, placement }: Preflight): string[] {
  const failed = checks.filter(({ passes }) => !passes);
  return [
    ...failed.map(({ what, wanted, found }) => `${what}: found ${found}, needs ${wanted}`),
    ...(weights?.problem === undefined || weights.problem === null
      ? []
      : [`weights ${weights.name}: ${weights.problem}`]),
    ...placement.problems,
  ];
}

/** The weights of a card as this machine has them. */
export function weightsOf(config: WorkerConfig, card: ModelCard, env: NodeJS.ProcessEnv): WeightsReport {
  const own = config.WORKER_WEIGHTS === undefined;
  return checkWeights(config.WORKER_WEIGHTS ?? card.engine.weights, {
    revision: own ? card.engine.revision : undefined,
    engineArgs: [...card.engine.args, ...config.WORKER_ENGINE_ARGS.split(/\s+/)],
    files: config.WORKER_WEIGHTS_CHECK === 'off' ? undefined : card.engine.files,
    env,
    needGib: modelShape(card.engine.weights, undefined, 0)?.weights_gib,
    freeGib: freeGib(hubCache(env)),
  });
}
