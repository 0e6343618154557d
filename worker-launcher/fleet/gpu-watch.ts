import type { DriverReport } from '../preflight/nvidia-smi.ts';

export interface GpuWatchDeps {
  /** UUIDs of the GPUs of each engine */
  readonly engines: ReadonlyMap<string, readonly string[]>;
  /** uncorrected ECC errors that were there at the start, and accepted then */
  readonly accepted: ReadonlyMap<string, number>;
  readonly ask: () => Promise<DriverReport>;
  /** a GPU of this engine fell out: said once, until it is back */
  readonly onLost: (engine: string, reason: string) => void;
  readonly onBack: (engine: string) => void;
}

/** A driver that is busy may miss one look; two in a row are believed. */
const LOOKS = 2;

/**
 * Follows the GPUs of the engines: one that the driver no longer lists, or that counts new uncorrected errors, takes its
 * engine out of service until it is whole again. The rest of the machine goes on.
 */
export class GpuWatch {
  readonly #deps: GpuWatchDeps;
  readonly #misses = new Map<string, number>();
  readonly #lost = new Set<string>();
  #asking = false;

  constructor(deps: GpuWatchDeps) {
    this.#deps = deps;
  }

  /** To be called regularly; a call while one is under way does nothing. */
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
