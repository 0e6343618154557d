import { redisKeys } from '#contract/redis-keys';
import { WORKER_REPORT_EVERY_MS, WORKER_REPORT_TTL_MS, writtenReport, type WorkerReport } from '#contract/registry';
import type { RedisClient } from '#runtime/redis-client';
import type { EngineSlots } from './engine-slots.ts';

interface RegistrationDeps {
  readonly redis: RedisClient;
  readonly incarnation: string;
  readonly node: string;
  readonly pool: string;
  readonly slots: Pick<EngineSlots, 'reports'>;
}

/** A dispatcher's entry in the registry, from which gateways learn which engines serve. It has a TTL. */
export class Registration {
  readonly #deps: RegistrationDeps;
  #draining = false;
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
    const { redis, incarnation, node, pool, slots } = this.#deps;
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
    // In this order: a gateway removes a name that has no report. No transaction, because a cluster has them apart.
    await Promise.all([
      redis.set(redisKeys.worker(incarnation), writtenReport(value), 'PX', WORKER_REPORT_TTL_MS),
      redis.zadd(redisKeys.workers(), Date.now(), incarnation),
    ]);
  }

  /** Reports that it takes no more jobs. @throws while Redis is unavailable */
  drain(): Promise<void> {
    this.#draining = true;
    return this.report();
  }

  /** @throws while Redis is unavailable */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    const { redis, incarnation } = this.#deps;
    await Promise.all([redis.del(redisKeys.worker(incarnation)), redis.zrem(redisKeys.workers(), incarnation)]);
  }
}
