import type { Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { readJson } from '#contract/read-json';
import { WorkerReport } from '#contract/registry';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { EngineStarts } from './engine-starts.ts';

const POLL_MS = 500;

/** What the dispatchers report, as this replica last read it. */
export class WorkerRegistry {
  readonly #redis: RedisClient;
  readonly #clock: Clock;
  readonly #log: Log;
  #workers: readonly WorkerReport[] = [];
  /** when each model lost its last ready engine */
  readonly #noEngineSince = new Map<string, number>();
  readonly #startedAt: number;
  readonly #starts = new EngineStarts();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(redis: RedisClient, clock: Clock, log: Log) {
    this.#redis = redis;
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
    const names = await this.#redis.zrange(redisKeys.workers(), '0', '-1');
    // One command each, because a cluster has them apart.
    const values = await Promise.all(names.map((name) => this.#redis.get(redisKeys.worker(name))));
    const workers: WorkerReport[] = [];
    const gone: string[] = [];
    names.forEach((name, index) => {
      const value = values[index] ?? null;
      const report = value === null ? undefined : readJson(WorkerReport, value);
      if (value === null) gone.push(name);
      if (report !== undefined) workers.push(report);
    });
    const before = new Set(this.#workers.flatMap((worker) => worker.engines.map(({ model }) => model)));
    const readyBefore = new Set([...before].filter((model) => this.readyEngines(model) > 0));
    this.#workers = workers;
    this.#starts.look(workers, this.#clock());
    for (const model of readyBefore) if (this.readyEngines(model) === 0) this.#noEngineSince.set(model, this.#clock());
    // A dispatcher that still runs writes its name again within a second.
    if (gone.length > 0) await this.#redis.zrem(redisKeys.workers(), ...gone);
  }
}
