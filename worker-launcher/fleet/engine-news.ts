import { ENGINE_TEXTS, NO_PORT } from '#contract/registry';
import type { EngineEntry } from '../dispatch/link.ts';
import type { EngineView } from '../engine/supervisor.ts';

/** How often it is checked what changed beside the states of the engines, such as the progress of a start, in ms. */
const LOOK_EVERY_MS = 1_000;

interface EngineNewsDeps {
  readonly views: () => readonly EngineView[];
  /** UUIDs */
  readonly gpusOf: (engine: string) => readonly string[];
  /** gives the state of an engine to its dispatcher */
  readonly update: (entry: EngineEntry) => void;
}

/** What the dispatchers know of the engines; they report it to the gateways. */
export class EngineNews {
  readonly #deps: EngineNewsDeps;
  /** by engine, as JSON */
  readonly #told = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: EngineNewsDeps) {
    this.#deps = deps;
  }

  /** Tells about all engines now, also those that wait for their weights, and then about changes. */
  start(): void {
    const look = (): void => {
      // Only changes, because a dispatcher may know better that an engine is suspect.
      for (const view of this.#deps.views())
        if (this.#told.get(view.id) !== JSON.stringify(this.#entryOf(view))) this.tell(view);
    };
    this.#timer = setInterval(look, LOOK_EVERY_MS).unref();
    look();
  }

  /** The state of this engine changed. */
  tell(view: EngineView): void {
    const entry = this.#entryOf(view);
    this.#told.set(entry.id, JSON.stringify(entry));
    this.#deps.update(entry);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #entryOf({ id, model, pid, state, slots, address, restarts, stage, lastFailure }: EngineView): EngineEntry {
    return {
      id,
      model,
      pid,
      port: NO_PORT,
      ...address,
      state,
      slots,
      restarts,
      gpus: [...this.#deps.gpusOf(id)],
      ...(stage === undefined ? {} : { stage: stage.slice(0, ENGINE_TEXTS.stage) }),
      ...(lastFailure === undefined ? {} : { lastFailure: lastFailure.slice(0, ENGINE_TEXTS.lastFailure) }),
    };
  }
}
