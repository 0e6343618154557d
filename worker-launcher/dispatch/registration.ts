import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import { WORKER_REPORT_EVERY_MS, WORKER_REPORT_TTL_MS, writtenReport, type WorkerReport } from '#contract/registry';
import type { EngineSlots } from './engine-slots.ts';

interface RegistrationDeps {
  readonly redis: Redis;
  readonly incarnation: string;
  readonly node: string;
  readonly pool: string;
  readonly slots: Pick<EngineSlots, 'reports'>;
}

/** A dispatcher's entry in the registry, where gateways see who is there to serve. It lapses by itself. */
export class Registration {
  readonly #deps: RegistrationDeps;
  #draining = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: RegistrationDeps) {
    this.#deps = deps;
  }

  /** Reports from now on, again and again. */
  start(): void {
    this.#timer = setInterval(() => void this.report().catch(() => {}), WORKER_REPORT_EVERY_MS);
  }

  /** @throws while Redis is away */
  async report(): Promise<void> {
    const { redis, incarnation, node, pool, slots } = this.#deps;
    const value: WorkerReport = {
      incarnation,
      pid: process.pid,
      launcherPid: process.ppid,
      node,
      pool,
      draining: this.#draining,
      engines: slots.reports(),
    };
    await redis
      .multi()
      .set(redisKeys.worker(incarnation), writtenReport(value), 'PX', WORKER_REPORT_TTL_MS)
      .zadd(redisKeys.workers(), Date.now(), incarnation)
      .exec();
  }

  /** Reports that it takes nothing more. @throws while Redis is away */
  drain(): Promise<void> {
    this.#draining = true;
    return this.report();
  }

  /** @throws while Redis is away */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    const { redis, incarnation } = this.#deps;
    await redis.multi().del(redisKeys.worker(incarnation)).zrem(redisKeys.workers(), incarnation).exec();
  }
}
