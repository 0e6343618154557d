import type { DriverReport } from '../preflight/nvidia-smi.ts';

export interface GpuWatchDeps {
  /** UUIDs of the GPUs of each engine */
  readonly engines: ReadonlyMap<string, readonly string[]>;
  /** uncorrected ECC errors that existed, and were accepted, at the start */
  readonly accepted: ReadonlyMap<string, number>;
  readonly ask: () => Promise<DriverReport>;
  /** a GPU of this engine was lost; called once until it is available again */
  readonly onLost: (engine: string, reason: string) => void;
  readonly onBack: (engine: string) => void;
}

/** A busy driver may fail to answer once; this many failures in a row count. */
const LOOKS = 2;

/**
 * Watches the GPUs of the engines. If the driver no longer lists a GPU, or counts new uncorrected ECC errors, its engine is
 * out of service until the GPU is healthy again. The other engines run on.
 */
export class GpuWatch {
  readonly #deps: GpuWatchDeps;
  readonly #misses = new Map<string, number>();
  readonly #lost = new Set<string>();
  #asking = false;

  constructor(deps: GpuWatchDeps) {
    this.#deps = deps;
  }

  /** Call it regularly; a call during a running one does nothing. */
  async look(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      const report = await this.#deps.ask();
      for (const [engine, gpus] of this.#deps.engines) this.#judge(engine, this.#problemOf(gpus, report));
    } finally {
      this.#asking = false;
    }
  }

  #judge(engine: string, problem: string | undefined): void {
    const misses = problem === undefined ? 0 : (this.#misses.get(engine) ?? 0) + 1;
    this.#misses.set(engine, misses);
    if (problem !== undefined && misses >= LOOKS && !this.#lost.has(engine)) {
      this.#lost.add(engine);
      this.#deps.onLost(engine, problem);
    } else if (problem === undefined && this.#lost.delete(engine)) this.#deps.onBack(engine);
  }

  #problemOf(gpus: readonly string[], { gpus: listed, problem }: DriverReport): string | undefined {
    for (const uuid of gpus) {
      const gpu = listed.find((known) => known.uuid === uuid);
      if (gpu === undefined) return `GPU ${uuid} is missing in nvidia-smi${problem === null ? '' : `: ${problem}`}`;
      const errors = gpu.ecc_errors ?? 0;
      if (errors > (this.#deps.accepted.get(uuid) ?? 0))
        return `GPU ${uuid} has ${errors} uncorrected ECC errors; it needs a reset`;
    }
    return undefined;
  }
}
