import type { ModelCard } from '#contract/model-card';
import type { Log } from '#runtime/log';
import { stageIn } from '../engine/start-progress.ts';
import type { EnginePlan } from '../preflight/engine-plan.ts';
import { downloadWeights, type Download } from './download.ts';

interface WeightsDeps {
  readonly card: ModelCard;
  readonly plan: EnginePlan;
  /** from a setting, instead of the card's */
  readonly given: string | undefined;
  /** the environment of an engine */
  readonly env: () => Readonly<Record<string, string>>;
  readonly log: Log;
}

/** Downloads the weights that all engines of a launcher need before their first start. */
export class Weights {
  readonly #deps: WeightsDeps;
  #download: Download | undefined;
  #stage: string | undefined;

  constructor(deps: WeightsDeps) {
    this.#deps = deps;
  }

  /** progress of the download, for people; absent while none runs */
  get stage(): string | undefined {
    return this.#stage;
  }

  /** @returns when the weights are here, or vLLM must download them itself */
  async fetch(): Promise<void> {
    const { card, plan, given, env, log } = this.#deps;
    const { weights } = plan.preflight;
    if (plan.kind !== 'vllm' || weights?.kind !== 'hub' || weights.folder !== null || weights.dummy) return;
    if (weights.problem !== null) return;
    const revision = given === undefined ? card.engine.revision : undefined;
    this.#download = downloadWeights({ name: weights.name, revision, env: env() }, (line) => {
      const stage = stageIn(line);
      if (stage === undefined || stage === this.#stage) return;
      this.#stage = stage;
      log.info({ weights: weights.name, stage }, 'engines wait for their weights');
    });
    if (this.#download === undefined) return;
    this.#stage = 'downloading weights';
    const problem = await this.#download.done;
    this.#stage = undefined;
    // vLLM then tries the download itself and reports its own error.
    if (problem !== undefined)
      log.warn({ weights: weights.name, problem }, 'the weights could not be downloaded: vLLM will try itself');
  }

  stop(): void {
    this.#download?.stop();
  }
}
