import { createHash } from 'node:crypto';
import type { Result } from 'ioredis';
import { Failure } from '../failure.ts';
import { redisKeys } from '#contract/redis-keys';
import type { Audit, Who } from '#runtime/audit';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';

/** How long a request is suspected after one engine's death, and refused after the second, in milliseconds. */
const QUARANTINE_MS = 600_000;
const DEATHS = 2;
/** How often each replica reads the list, in ms; other replicas refuse a request at most this much later. */
const READ_EVERY_MS = 250;
/** Longest list; the oldest entries are removed. */
const MOST = 1_000;

/** KEYS: 1 engines that died of the request. ARGV: the engine, expiry in ms. Returns how many there are. */
const SUSPECT = `
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('SCARD', KEYS[1])`;

/**
 * Apart from `SUSPECT`, because a cluster has the two keys apart. KEYS: 1 the list (sorted set: hashes by the Redis time, in
 * ms, at which they lapse). ARGV: hash, expiry in ms, longest list.
 */
const ENLIST = `
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[3] - 1)
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`;

/** KEYS: 1 the list. Removes lapsed entries, returns the rest. */
const LISTED = `
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
return redis.call('ZRANGE', KEYS[1], 0, -1)`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockSuspect(deathsKey: string, engine: string, lifeMs: number): Result<number, Context>;
    penstockEnlist(listKey: string, hash: string, lifeMs: number, most: number): Result<number, Context>;
    penstockListed(listKey: string): Result<string[], Context>;
  }
}

/** A waiting request, whose length is known without a copy. */
interface Waiting {
  readonly length: number;
  readonly pieces: readonly Buffer[] | undefined;
}

/**
 * Requests that engines died of are refused for 10 minutes, by all replicas, and are known only by their hash. While
 * Redis is away, each replica refuses the requests that it already knows, and learns no new ones.
 */
export class Quarantine {
  readonly #redis: RedisClient;
  readonly #log: Log;
  readonly #audit: Audit;
  #listed: ReadonlySet<string> = new Set();
  /** lengths of the listed requests: a request of any other length needs no hash */
  #lengths: ReadonlySet<number> = new Set();
  #reading: NodeJS.Timeout | undefined;

  constructor(redis: RedisClient, log: Log, audit: Audit) {
    redis.defineCommand('penstockSuspect', { numberOfKeys: 1, lua: SUSPECT });
    redis.defineCommand('penstockEnlist', { numberOfKeys: 1, lua: ENLIST });
    redis.defineCommand('penstockListed', { numberOfKeys: 1, lua: LISTED });
    this.#redis = redis;
    this.#log = log;
    this.#audit = audit;
  }

  start(): void {
    void this.#read();
    this.#reading = setInterval(() => void this.#read(), READ_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#reading);
  }

  /** @throws Failure `request_quarantined` */
  check(waiting: Waiting): void {
    if (!this.#lengths.has(waiting.length)) return;
    const { pieces } = waiting;
    if (pieces !== undefined && this.#listed.has(hashOf(Buffer.concat(pieces)))) throw quarantined();
  }

  /**
   * Records that an engine died, probably because of this request.
   * @param engine by a name that no other has, nor its next life: several gateways may report the same death
   * @param isLast this death is enough
   * @returns whether the request is refused from now on
   */
  async suspect(hash: string, engine: string, isLast: boolean): Promise<boolean> {
    const deaths = await this.#redis.penstockSuspect(redisKeys.deaths(hash), engine, QUARANTINE_MS);
    if (deaths < (isLast ? 1 : DEATHS)) return false;
    await this.#redis.penstockEnlist(redisKeys.quarantine(), hash, QUARANTINE_MS, MOST);
    this.#log.warn({ hash }, 'a request is refused from now on because engines died while they ran it');
    const who: Who = { kind: 'program', name: 'gateway' };
    this.#audit.record({ act: 'request.quarantined', what: hash, who, result: 'done', why: 'engines died of it' });
    this.#know([...this.#listed, hash]);
    return true;
  }

  /** Forgets a suspicion: the request was answered, so it was not the reason. */
  clear(hash: string): void {
    this.#redis.del(redisKeys.deaths(hash)).catch(() => {
      // The entry expires by itself.
    });
  }

  async #read(): Promise<void> {
    try {
      this.#know(await this.#redis.penstockListed(redisKeys.quarantine()));
    } catch {
      // Redis is away; the next check asks again.
    }
  }

  #know(hashes: readonly string[]): void {
    this.#listed = new Set(hashes);
    this.#lengths = new Set(hashes.map((hash) => Number(hash.split('-')[0])));
  }
}

/** The failure that the caller of such a request gets. */
export function quarantined(cause?: unknown): Failure {
  const minutes = String(QUARANTINE_MS / 60_000);
  const message = `engines ended while they worked on this request; the same request is refused for ${minutes} minutes`;
  return new Failure('request_quarantined', message, cause === undefined ? {} : { cause });
}

const SALT = Buffer.from('"cache_salt":"');

/**
 * Length and SHA-256 of an engine's request without its salt, so that the same request is recognised with any key. The
 * salt follows the caller's texts, in which such quotes would be escaped.
 */
export function hashOf(body: Buffer): string {
  const at = body.lastIndexOf(SALT);
  const from = at === -1 ? body.length : at + SALT.length;
  const to = at === -1 ? body.length : body.indexOf('"', from);
  const hash = createHash('sha256').update(body.subarray(0, from)).update(body.subarray(to));
  return `${body.length}-${hash.digest('base64url')}`;
}
