import type { ModelCard } from '#contract/model-card';
import type { Log } from '#runtime/log';
import { stageIn } from '../engine/start-progress.ts';
import type { EnginePlan } from '../preflight/engine-plan.ts';
import { downloadWeights, type Download } from './download.ts';

interface WeightsDeps {
  readonly card: ModelCard;
  readonly plan: EnginePlan;
  /** a setting's, in place of the card's */
  readonly given: string | undefined;
  /** the environment of an engine */
  readonly env: () => Readonly<Record<string, string>>;
  readonly log: Log;
}

/** The weights that all engines of a launcher wait for before their first start. */
export class Weights {
  readonly #deps: WeightsDeps;
  #download: Download | undefined;
  #stage: string | undefined;

  constructor(deps: WeightsDeps) {
    this.#deps = deps;
  }

  /** how far a download is, for people; absent while none runs */
  get stage(): string | undefined {
    return this.#stage;
  }

  /** @returns when they are there, or vLLM has to see to them by itself */
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
      log.info({ weights: weights.name, stage }, 'engines are waiting for their weights');
    });
    if (this.#download === undefined) return;
    this.#stage = 'downloading weights';
    const problem = await this.#download.done;
    this.#stage = undefined;
    // vLLM tries by itself, and says its own sentence.
    if (problem !== undefined) log.warn({ weights: weights.name, problem }, 'the weights could not be downloaded');
  }

  stop(): void {
    this.#download?.stop();
  }
}
