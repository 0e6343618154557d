import type { ModelCard } from '#contract/model-card';
import type { Log } from '#runtime/log';
import { stageIn } from '../engine/start-progress.ts';
import type { WorkerConfig } from '../config.ts';
import type { EnginePlan } from '../preflight/engine-plan.ts';
import { weightsOf } from '../preflight/preflight.ts';
import { hashProblem } from '../preflight/weight-files.ts';
import { downloadWeights, type Download } from './download.ts';

interface WeightsDeps {
  readonly card: ModelCard;
  readonly plan: EnginePlan;
  readonly config: WorkerConfig;
  /** the environment of an engine */
  readonly env: () => Readonly<Record<string, string>>;
  readonly log: Log;
}

/** How often the log says how much of the weights is checked, as a share. */
const TELL_EVERY = 0.1;

/** Downloads and checks the weights that all engines of a launcher need before their first start. */
export class Weights {
  readonly #deps: WeightsDeps;
  #download: Download | undefined;
  #stage: string | undefined;

  constructor(deps: WeightsDeps) {
    this.#deps = deps;
  }

  /** progress of download or check, for people; absent while none runs */
  get stage(): string | undefined {
    return this.#stage;
  }

  /**
   * Returns when the weights are here and checked, or vLLM must download them itself.
   * @returns why no engine may start with them, in a sentence
   */
  async fetch(): Promise<string | undefined> {
    const { plan, config } = this.#deps;
    const { weights } = plan.preflight;
    if (plan.kind !== 'vllm' || weights === null || weights.dummy || weights.problem !== null) return undefined;
    const isLoaded = weights.kind === 'hub' && weights.folder === null && (await this.#load(weights.name));
    return isLoaded || config.WORKER_WEIGHTS_CHECK === 'hashes' ? await this.#check() : undefined;
  }

  /** @returns whether the hub's client has loaded them */
  async #load(name: string): Promise<boolean> {
    const { card, config, env, log } = this.#deps;
    const revision = config.WORKER_WEIGHTS === undefined ? card.engine.revision : undefined;
    this.#download = downloadWeights({ name, revision, env: env() }, (line) => {
      const stage = stageIn(line);
      if (stage === undefined || stage === this.#stage) return;
      this.#stage = stage;
      log.info({ weights: name, stage }, 'engines wait for their weights');
    });
    if (this.#download === undefined) return false;
    this.#stage = 'downloading weights';
    const problem = await this.#download.done;
    this.#stage = undefined;
    // vLLM then tries the download itself and reports its own error.
    if (problem !== undefined)
      log.warn({ weights: name, problem }, 'the weights could not be downloaded: vLLM will try itself');
    return problem === undefined;
  }

  /** Compares contents with the card, if it lists them. */
  async #check(): Promise<string | undefined> {
    const { card, config, env, log } = this.#deps;
    const { files } = card.engine;
    if (files === undefined || config.WORKER_WEIGHTS_CHECK === 'off') return undefined;
    const { name, folder, problem } = weightsOf(config, card, env());
    if (folder === null)
      return problem ?? `${name} is not complete in the cache of the hub, or its files differ from the card`;
    let told = 0;
    const wrong = await hashProblem(folder, files, (share) => {
      this.#stage = `checking weights, ${Math.floor(share * 100)} %`;
      if (share < told + TELL_EVERY) return;
      told = share;
      log.info({ weights: name, stage: this.#stage }, 'engines wait for their weights');
    });
    this.#stage = undefined;
    if (wrong === undefined) log.info({ weights: name, files: files.length }, 'the weights are those of the card');
    return wrong;
  }

  stop(): void {
    this.#download?.stop();
  }
}
