import { Gauge, type Registry } from 'prom-client';
import type { Log } from './log.ts';
import { isOpen, primariesOf, type RedisClient } from './redis-client.ts';
import { combined, factsOf, type RedisFacts } from './redis-facts.ts';

/**
 * States of a Redis. `away`: no connection. `silent`: it takes commands and does not answer. `read_only`: it is a
 * replica. `full`: it has reached its `maxmemory`, or is so near that it refuses large values. `cannot_save`: it cannot
 * write its file, so it may refuse writes.
 */
const REDIS_STATES = ['ok', 'away', 'silent', 'read_only', 'full', 'cannot_save'] as const;
type RedisState = (typeof REDIS_STATES)[number];

/** The fields of one Redis in `/status`. */
export interface RedisView {
  /** null: not known */
  readonly kind: RedisFacts['mode'] | null;
  readonly state: RedisState;
  readonly since: string;
  /** time until the last `INFO` was answered, in milliseconds; null: none was answered yet */
  readonly latencyMs: number | null;
  /** `noeviction` is right: any other policy loses requests under memory pressure; null: not known */
  readonly evictionPolicy: string | null;
  /** since that Redis started */
  readonly evictedKeys: number;
  /** how often it was restarted or replaced since this program started */
  readonly restarts: number;
}

const LOOK_MS = 1_000;
/** A Redis without an answer for this long is silent, in milliseconds. */
const SILENT_MS = 2_000;
/** A Redis counts as full until it has refused nothing for this long, in ms: it still takes small values. */
const ROOM_MS = 5_000;

/** Watches the Redis connections of a program: one log line for each change, a field in `/status`, gauges. */
export class RedisWatch {
  readonly #watched: ReadonlyMap<string, WatchedRedis>;
  readonly #timer: NodeJS.Timeout;

  /** @param connections by the name under which each is reported; one connection may have several names */
  constructor(connections: Readonly<Record<string, RedisClient>>, log: Log) {
    const known = new Map<RedisClient, WatchedRedis>();
    const watched = Object.entries(connections).map(([name, redis]) => {
      const one = known.get(redis) ?? new WatchedRedis(name, redis, log);
      known.set(redis, one);
      return [name, one] as const;
    });
    this.#watched = new Map(watched);
    const look = (): void => {
      for (const one of known.values()) one.look();
    };
    look();
    this.#timer = setInterval(look, LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get views(): Record<string, RedisView> {
    return Object.fromEntries([...this.#watched].map(([name, one]) => [name, one.view]));
  }

  registerMetrics(registry: Registry): void {
    const gauge = (name: string, help: string, valueOf: (view: RedisView) => number): void => {
      const watched = this.#watched;
      new Gauge({
        name,
        help,
        labelNames: ['redis'] as const,
        registers: [registry],
        collect() {
          for (const [redis, { view }] of watched) this.set({ redis }, valueOf(view));
        },
      });
    };
    const watched = this.#watched;
    new Gauge({
      name: 'penstock_redis_state',
      help: '1 for the state that a Redis is in, 0 for the others',
      labelNames: ['redis', 'state'] as const,
      registers: [registry],
      collect() {
        for (const [redis, { view }] of watched)
          for (const state of REDIS_STATES) this.set({ redis, state }, view.state === state ? 1 : 0);
      },
    });
    gauge('penstock_redis_may_evict', '1 if the eviction policy of a Redis is not noeviction', ({ evictionPolicy }) =>
      evictionPolicy === null || evictionPolicy === 'noeviction' ? 0 : 1,
    );
    gauge('penstock_redis_evicted_keys', 'keys that a Redis evicted since its start', (view) => view.evictedKeys);
    gauge(
      'penstock_redis_restarts',
      'how often a Redis was restarted or replaced while this program ran',
      (v) => v.restarts,
    );
  }
}

class WatchedRedis {
  readonly #name: string;
  readonly #redis: RedisClient;
  readonly #log: Log;
  #state: RedisState = 'ok';
  #since = new Date();
  #askedAt: number | undefined;
  #latencyMs: number | null = null;
  #facts: RedisFacts | undefined;
  #restarts = 0;
  #refusedAt = -Infinity;

  constructor(name: string, redis: RedisClient, log: Log) {
    this.#name = name;
    this.#redis = redis;
    this.#log = log;
  }

  get view(): RedisView {
    return {
      kind: this.#facts?.mode ?? null,
      state: this.#state,
      since: this.#since.toISOString(),
      latencyMs: this.#latencyMs,
      evictionPolicy: this.#facts?.evictionPolicy ?? null,
      evictedKeys: this.#facts?.evictedKeys ?? 0,
      restarts: this.#restarts,
    };
  }

  look(): void {
    if (!isOpen(this.#redis)) this.#be('away');
    else if (this.#askedAt === undefined) this.#ask();
    else if (performance.now() - this.#askedAt > SILENT_MS) this.#be('silent');
  }

  #ask(): void {
    const askedAt = performance.now();
    this.#askedAt = askedAt;
    const over = (): void => {
      this.#askedAt = undefined;
    };
    Promise.all(primariesOf(this.#redis).map((one) => one.info())).then((pages) => {
      over();
      this.#latencyMs = Math.round((performance.now() - askedAt) * 10) / 10;
      if (pages.length > 0) this.#learn(combined(pages.map(factsOf)));
    }, over);
  }

  #learn(facts: RedisFacts): void {
    const before = this.#facts;
    this.#facts = facts;
    const redis = this.#name;
    if (before !== undefined && before.runId !== facts.runId) {
      this.#restarts += 1;
      this.#log.warn({ redis }, 'another Redis process answers: Redis was restarted or replaced');
    }
    if (before?.evictionPolicy !== facts.evictionPolicy && facts.evictionPolicy !== 'noeviction') {
      const { evictionPolicy } = facts;
      this.#log.warn(
        { redis, evictionPolicy },
        'this Redis may evict keys, which loses requests: set its maxmemory-policy to noeviction',
      );
    }
    const evicted = facts.evictedKeys - (before?.runId === facts.runId ? before.evictedKeys : 0);
    if (before !== undefined && evicted > 0) this.#log.error({ redis, evicted }, 'this Redis evicted keys');
    const refused = facts.refusedAsFull - (before?.runId === facts.runId ? before.refusedAsFull : 0);
    if (before !== undefined && refused > 0) this.#refusedAt = performance.now();
    if (facts.isReadOnly) this.#be('read_only');
    else if (facts.isFull || performance.now() - this.#refusedAt < ROOM_MS) this.#be('full');
    else this.#be(facts.cannotSave ? 'cannot_save' : 'ok');
  }

  #be(state: RedisState): void {
    if (state === this.#state) return;
    const fields = { redis: this.#name, state, was: this.#state };
    this.#state = state;
    this.#since = new Date();
    if (state === 'ok') this.#log.info(fields, 'Redis is healthy again');
    else this.#log.warn(fields, 'Redis is not healthy');
  }
}
