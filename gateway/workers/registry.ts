import type { Kind } from '#contract/job';
import { speaksFor } from '#contract/model-names';
import { redisKeys } from '#contract/redis-keys';
import { readJson } from '#contract/read-json';
import { WorkerReport } from '#contract/registry';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { isWrongType } from '#runtime/redis-errors';
import { EngineStarts } from './engine-starts.ts';

const POLL_MS = 500;
/** Names that are read at most, the latest. */
const MOST_DISPATCHERS = 4_096;

/** What the dispatchers report, as this replica last read it. */
export class WorkerRegistry {
  readonly #redis: RedisClient;
  readonly #models: readonly string[];
  readonly #clock: Clock;
  readonly #log: Log;
  #workers: readonly WorkerReport[] = [];
  /** when each model lost its last ready engine */
  readonly #noEngineSince = new Map<string, number>();
  readonly #startedAt: number;
  readonly #starts = new EngineStarts();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(redis: RedisClient, models: readonly string[], clock: Clock, log: Log) {
    this.#redis = redis;
    this.#models = models;
    this.#clock = clock;
    this.#log = log;
    this.#startedAt = clock();
  }

  start(): void {
    const poll = async (): Promise<void> => {
      await this.#read().catch((cause: unknown) => this.#log.debug({ cause }, 'registry not read'));
      if (!this.#stopped) this.#timer = setTimeout(() => void poll(), POLL_MS);
    };
    void poll();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  get workers(): readonly WorkerReport[] {
    return this.#workers;
  }

  readyEngines(model?: string): number {
    let ready = 0;
    for (const worker of this.#workers)
      for (const engine of worker.engines)
        if (!worker.draining && engine.state === 'ready' && (model === undefined || engine.model === model)) ready += 1;
    return ready;
  }

  /** Requests of this kind that the model's ready engines work on at a time. */
  slots(model: string, kind: Kind): number {
    let slots = 0;
    for (const { draining, engines } of this.#workers)
      for (const engine of engines)
        if (!draining && engine.state === 'ready' && engine.model === model) slots += engine.slots[kind];
    return slots;
  }

  /** For how many milliseconds the model has had no ready engine; 0 if it has one. */
  withoutEngineMs(model: string): number {
    if (this.readyEngines(model) > 0) return 0;
    return this.#clock() - (this.#noEngineSince.get(model) ?? this.#startedAt);
  }

  /** In how many milliseconds the first engine of the model that starts should be ready; undefined: unknown. */
  readyInMs(model: string): number | undefined {
    return this.#starts.expectedMs(model, this.#clock());
  }

  async #read(): Promise<void> {
    const found = await Promise.all([...this.#models.map((model) => this.#readOf(model)), this.#readEarlier()]);
    const before = new Set(this.#workers.flatMap((worker) => worker.engines.map(({ model }) => model)));
    const readyBefore = new Set([...before].filter((model) => this.readyEngines(model) > 0));
    // Dispatchers write to the registry of release 0.2 too.
    this.#workers = [...new Map(found.flat().map((worker) => [worker.incarnation, worker])).values()];
    this.#starts.look(this.#workers, this.#clock());
    for (const model of readyBefore) if (this.readyEngines(model) === 0) this.#noEngineSince.set(model, this.#clock());
  }

  /** The dispatchers of a model. Each reports about its own engines, whatever it says. */
  async #readOf(model: string): Promise<WorkerReport[]> {
    const reports = await this.#reports(redisKeys.workersOf(model), (name) => redisKeys.workerOf(model, name));
    return reports.flatMap((report) => {
      const engines = report.engines.filter((engine) => engine.model === model);
      return engines.length === report.engines.length && speaksFor(report.incarnation, model) ? [report] : [];
    });
  }

  /** Dispatchers of release 0.2 and before, which name no model. They may run beside newer gateways during an upgrade. */
  async #readEarlier(): Promise<WorkerReport[]> {
    const reports = await this.#reports(redisKeys.workers(), redisKeys.worker);
    return reports.filter(({ incarnation }) => !incarnation.includes('@'));
  }

  /** @param names key of the names @param keyOf key of a report */
  async #reports(names: string, keyOf: (name: string) => string): Promise<WorkerReport[]> {
    const known = await this.#redis.zrange(names, String(-MOST_DISPATCHERS), '-1').catch(async (cause: unknown) => {
      if (!isWrongType(cause)) throw cause;
      this.#log.error({ key: names }, 'a worker replaced the registry of its model');
      await this.#redis.del(names);
      return [];
    });
    const values = await Promise.all(known.map((name) => this.#redis.get(keyOf(name)).catch(noneIfWrongType)));
    const gone = known.filter((_name, index) => values[index] === null);
    // A dispatcher that still runs writes its name again within a second.
    if (gone.length > 0) await this.#redis.zrem(names, ...gone);
    return known.flatMap((name, index) => {
      const report = readJson(WorkerReport, values[index] ?? '');
      return report?.incarnation === name ? [report] : [];
    });
  }
}

function noneIfWrongType(cause: unknown): null {
  if (!isWrongType(cause)) throw cause;
  return null;
}
