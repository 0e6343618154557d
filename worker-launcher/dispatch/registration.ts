import { redisKeys } from '#contract/redis-keys';
import { WORKER_REPORT_EVERY_MS, WORKER_REPORT_TTL_MS, writtenReport, type WorkerReport } from '#contract/registry';
import type { RedisClient } from '#runtime/redis-client';
import { missesRight } from '#runtime/redis-refusal';
import type { EngineSlots } from './engine-slots.ts';

interface RegistrationDeps {
  readonly redis: RedisClient;
  /** its name, see `dispatcherName` */
  readonly incarnation: string;
  readonly model: string;
  readonly node: string;
  readonly pool: string;
  readonly slots: Pick<EngineSlots, 'reports'>;
}

/** A dispatcher's entry in the registry, from which gateways learn which engines serve. It has a TTL. */
export class Registration {
  readonly #deps: RegistrationDeps;
  #draining = false;
  /** its user of Redis cannot write the registry of release 0.2; gateways that read it have no such users */
  #isAlone = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: RegistrationDeps) {
    this.#deps = deps;
  }

  /** Reports at a fixed interval from now on. */
  start(): void {
    this.#timer = setInterval(() => void this.report().catch(() => {}), WORKER_REPORT_EVERY_MS);
  }

  /** @throws while Redis is unavailable */
  async report(): Promise<void> {
    const { redis, incarnation, model, node, pool, slots } = this.#deps;
    const value: WorkerReport = {
      incarnation,
      pid: process.pid,
      launcherPid: process.ppid,
      node,
      pool,
      draining: this.#draining,
      durable: true,
      engines: slots.reports(),
    };
    const written = writtenReport(value);
    await redis
      .multi()
      .set(redisKeys.workerOf(model, incarnation), written, 'PX', WORKER_REPORT_TTL_MS)
      .zadd(redisKeys.workersOf(model), Date.now(), incarnation)
      .exec();
    await this.#earlier(async () => {
      await redis.set(redisKeys.worker(incarnation), written, 'PX', WORKER_REPORT_TTL_MS);
      await redis.zadd(redisKeys.workers(), Date.now(), incarnation);
    });
  }

  /** Gateways of release 0.2 read one registry for all models. They may run beside newer dispatchers during an upgrade. */
  async #earlier(write: () => Promise<unknown>): Promise<void> {
    if (this.#isAlone) return;
    await write().catch((cause: unknown) => {
      if (!missesRight(cause)) throw cause;
      this.#isAlone = true;
    });
  }

  /** Reports that it takes no more jobs. @throws while Redis is unavailable */
  drain(): Promise<void> {
    this.#draining = true;
    return this.report();
  }

  /** @throws while Redis is unavailable */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    const { redis, incarnation, model } = this.#deps;
    await redis
      .multi()
      .del(redisKeys.workerOf(model, incarnation))
      .zrem(redisKeys.workersOf(model), incarnation)
      .exec();
    await this.#earlier(async () => {
      await redis.del(redisKeys.worker(incarnation));
      await redis.zrem(redisKeys.workers(), incarnation);
    });
  }
}
