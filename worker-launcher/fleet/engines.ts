import { fileURLToPath } from 'node:url';
import type { ModelCard } from '#contract/model-card';
import type { Audit, Who } from '#runtime/audit';
import type { Log } from '#runtime/log';
import type { WorkerConfig } from '../config.ts';
import type { Dispatchers } from './dispatchers.ts';
import { engineAddress, type EngineAddress } from '../engine/address.ts';
import { dispensable, engineCommand } from '../engine/command.ts';
import { exportMetrics } from '../engine/exported-metrics.ts';
import type { EngineLedger } from '../engine/ledger.ts';
import type { CrashReason, OutlierReason } from '../engine/state.ts';
import { EngineSupervisor, type EngineView } from '../engine/supervisor.ts';
import type { EnginePlan } from '../preflight/engine-plan.ts';
import { EngineNews } from './engine-news.ts';
import { limitsFrom, onCpu, stallLimitsFrom } from './engine-limits.ts';
import { OutlierWatch } from './outlier-watch.ts';
import { Weights } from './weights.ts';
import type { MachineFacts } from '../preflight/facts.ts';
import { GpuWatch } from './gpu-watch.ts';
import { askDriver } from '../preflight/nvidia-smi.ts';

/** The card and plan from which engines are started. */
interface Serving {
  readonly card: ModelCard;
  readonly plan: EnginePlan;
}

export interface EnginesDeps {
  readonly config: WorkerConfig;
  readonly card: ModelCard;
  readonly plan: EnginePlan;
  readonly facts: MachineFacts;
  readonly ledger: EngineLedger;
  readonly dispatchers: Pick<Dispatchers, 'inFlight' | 'update' | 'intake' | 'relieve'>;
  readonly onRestart: (reason: CrashReason) => void;
  readonly onOutlier: (reason: OutlierReason) => void;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly audit: Audit;
}

/** After this many failed starts of a new engine, a reload is given up. */
const STARTS_OF_A_CHANGE = 3;
const LOOK_EVERY_MS = 100;
/** For commands whose address does not matter. */
const ANY_ADDRESS: EngineAddress = { port: 1 };
const PROBES = { healthMs: 5_000, canaryMs: 60_000 } as const;
const SIMULATOR = fileURLToPath(new URL('../simulator/main.js', import.meta.url));

/** All engines of this launcher: downloads their weights, then runs a supervisor for each and watches their GPUs. */
export class Engines {
  readonly #deps: EnginesDeps;
  #serving: Serving;
  #reloading: Promise<void> = Promise.resolve();
  readonly #supervisors = new Map<string, EngineSupervisor>();
  /** optional arguments that this vLLM refused, for all engines */
  readonly #without = new Set<string>();
  readonly #outliers: OutlierWatch;
  readonly #weights: Weights;
  readonly #news: EngineNews;
  #gpuTimer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(deps: EnginesDeps) {
    this.#deps = deps;
    this.#serving = { card: deps.card, plan: deps.plan };
    const { dispatchers, config, log } = deps;
    const env = (): Readonly<Record<string, string>> => this.#command(ANY_ADDRESS, [], this.#serving).env;
    this.#weights = new Weights({ ...this.#serving, config, env, log });
    this.#news = new EngineNews({
      views: () => this.views,
      gpusOf: (engine) => this.gpusOf(engine),
      update: (entry) => dispatchers.update(entry),
    });
    this.#outliers = new OutlierWatch({
      engines: () => [...this.#supervisors.values()],
      intake: (engine) => dispatchers.intake(engine),
      relieve: (engine, stuckMs) => dispatchers.relieve(engine, stuckMs),
      limits: {
        factor: config.WORKER_SLOW_FACTOR,
        windowMs: config.WORKER_SLOW_WINDOW_MS,
        muteMs: config.WORKER_MUTE_MS ?? 2 * stallLimitsFrom(config, onCpu(deps.plan)).stallMs,
      },
    });
    for (const engine of deps.plan.engines) this.#supervisors.set(engine.id, this.#supervise(engine, this.#serving));
  }

  get views(): EngineView[] {
    const stage = this.#weights.stage;
    return [...this.#supervisors.values()].map(({ view }) => (stage === undefined ? view : { ...view, stage }));
  }

  /** UUIDs */
  gpusOf(engine: string): readonly string[] {
    return this.#serving.plan.engines.find(({ id }) => id === engine)?.gpus ?? [];
  }

  /**
   * Applies a changed card: engines whose start command changes are drained and restarted, each only after the previous
   * one is ready; those beyond the new number are drained. The other engines run on.
   * @returns when that is done, or given up because a new engine did not become ready: the others keep the old card
   */
  reload(card: ModelCard, plan: EnginePlan): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#roll({ card, plan })).then(() => this.#watchGpus());
    return this.#reloading;
  }

  async #roll(next: Serving): Promise<void> {
    const { log } = this.#deps;
    const before = this.#serving;
    this.#serving = next;
    for (const { id } of before.plan.engines.filter(({ id }) =>
      next.plan.engines.every((engine) => engine.id !== id),
    )) {
      log.info({ engine: id }, 'the changed card needs fewer engines: draining this one');
      await this.#supervisors.get(id)?.stop();
    }
    for (const engine of next.plan.engines) {
      const former = this.#supervisors.get(engine.id);
      const same = before.plan.engines.find(({ id }) => id === engine.id);
      if (this.#stopping) return;
      if (same !== undefined && this.#startOf(same, before) === this.#startOf(engine, next)) continue;
      log.info(
        { engine: engine.id },
        same === undefined
          ? 'the changed card allows one more engine: starting it'
          : 'the card changed: draining and restarting this engine',
      );
      await former?.stop();
      if (this.#stopping) return;
      const supervisor = this.#supervise(engine, next);
      this.#supervisors.set(engine.id, supervisor);
      supervisor.start();
      if (await this.#comesUp(supervisor)) continue;
      log.error(
        { engine: engine.id, reason: supervisor.view.lastFailure },
        'an engine does not start with the changed card: the other engines keep the old card',
      );
      this.#serving = before;
      return;
    }
  }

  /** Everything that decides how an engine starts, as one string for a comparison. */
  #startOf({ gpus }: EnginePlan['engines'][number], serving: Serving): string {
    const { file, argv } = this.#command(ANY_ADDRESS, gpus, serving);
    return JSON.stringify([file, argv, gpus, serving.plan.slots]);
  }

  async #comesUp(supervisor: EngineSupervisor): Promise<boolean> {
    const limit = performance.now() + this.#deps.config.WORKER_START_TIMEOUT_MS;
    for (;;) {
      const { state, restarts } = supervisor.view;
      if (state === 'ready') return true;
      if (state === 'stopped' || restarts >= STARTS_OF_A_CHANGE || performance.now() >= limit) return false;
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  /** The exported metrics of all engines in service, as a page. */
  metrics(): string {
    return exportMetrics(
      [...this.#supervisors].flatMap(([engine, { metricsPage: page }]) => (page === undefined ? [] : { engine, page })),
    );
  }

  /** A dispatcher could not reach it. */
  hint(engine: string): void {
    this.#supervisors.get(engine)?.hint();
  }

  /** A dispatcher had an answer of it, complete or failed. */
  answered(engine: string, status: number): void {
    this.#outliers.answered(engine, status);
  }

  /**
   * Returns immediately; the engines start after the download and the check of the weights.
   * @param onUnfit gets the reason if no engine may start with these weights
   */
  start(onUnfit: (reason: string) => void): void {
    this.#news.start();
    void this.#weights.fetch().then((problem) => {
      if (this.#stopping) return;
      if (problem !== undefined) return onUnfit(problem);
      for (const supervisor of this.#supervisors.values()) supervisor.start();
      this.#watchGpus();
      this.#outliers.start();
    });
  }

  async stop(limits: Parameters<EngineSupervisor['stop']>[0]): Promise<void> {
    this.#stopping = true;
    this.#outliers.stop();
    clearInterval(this.#gpuTimer);
    this.#news.stop();
    this.#weights.stop();
    await Promise.all([...this.#supervisors.values()].map((supervisor) => supervisor.stop(limits)));
  }

  #supervise({ id, gpus, port }: EnginePlan['engines'][number], serving: Serving): EngineSupervisor {
    const { config, ledger, dispatchers, onRestart, onOutlier, log } = this.#deps;
    const { card, plan } = serving;
    const address = engineAddress(config.WORKER_STATE_DIR, id, port ?? undefined);
    /** arguments left out of its last start; other engines may have learned of more since */
    let without: ReadonlySet<string> = new Set();
    return new EngineSupervisor({
      id,
      model: card.name,
      slots: plan.slots,
      ledger,
      log,
      limits: limitsFrom(config),
      stall: stallLimitsFrom(config, plan.kind === 'vllm' && gpus.length === 0),
      probes: PROBES,
      address,
      command: () => {
        without = new Set(this.#without);
        return this.#command(address, gpus, serving);
      },
      adapt: (lines) => {
        const flags = dispensable(lines);
        const news = flags.filter((flag) => !this.#without.has(flag));
        for (const flag of news) this.#without.add(flag);
        if (news.length > 0)
          log.warn(
            { flags: news, vllm: this.#deps.facts.vllm },
            'this vLLM refuses these arguments: the launcher leaves them out',
          );
        return flags.some((flag) => !without.has(flag));
      },
      inFlight: () => {
        const { text, image } = dispatchers.inFlight(id);
        return text + image;
      },
      onChange: (view) => this.#news.tell(view),
      onRestart,
      onOutlier,
      isSlow: (tookMs) => this.#outliers.isSlow(id, tookMs),
    });
  }

  #command(address: EngineAddress, gpus: readonly string[], { card, plan }: Serving): ReturnType<typeof engineCommand> {
    const { config, env } = this.#deps;
    return engineCommand(card, {
      kind: plan.kind,
      simulatorPath: SIMULATOR,
      address,
      slots: plan.slots,
      weights: config.WORKER_WEIGHTS,
      extraArgs: config.WORKER_ENGINE_ARGS.split(/\s+/).filter((arg) => arg !== ''),
      gpus: gpus.length === 0 ? undefined : gpus,
      maxModelLen: plan.maxModelLen,
      tensorParallel: plan.tensorParallel,
      gpuMemoryUtilization: plan.gpuMemoryUtilization,
      cpus: config.WORKER_ENGINE_CPUS,
      without: this.#without,
      env,
    });
  }

  #watchGpus(): void {
    clearInterval(this.#gpuTimer);
    const { config, facts, env, log, audit } = this.#deps;
    const who: Who = { kind: 'program', name: 'worker-launcher' };
    const { plan } = this.#serving;
    const engines = new Map(plan.engines.filter(({ gpus }) => gpus.length > 0).map(({ id, gpus }) => [id, gpus]));
    if (engines.size === 0 || this.#stopping) return;
    const watch = new GpuWatch({
      engines,
      accepted: new Map(facts.gpus.map(({ uuid, ecc_errors }) => [uuid, ecc_errors ?? 0])),
      ask: () => askDriver(env),
      onLost: (engine, reason) => {
        audit.record({ act: 'engine.condemned', what: engine, who, result: 'done', why: reason });
        void this.#supervisors.get(engine)?.condemn(reason);
      },
      onBack: (engine) => {
        audit.record({ act: 'engine.restored', what: engine, who, result: 'done' });
        log.info({ engine }, 'the GPU is available again: the launcher restarts the engine');
        if (!this.#stopping) this.#supervisors.get(engine)?.start();
      },
    });
    this.#gpuTimer = setInterval(() => void watch.look(), config.WORKER_GPU_CHECK_MS);
  }
}
