import type { Redis, Result } from 'ioredis';
import { keys } from '#contract/keys';

/**
 * Reserves a place among a model's waiting requests; a refusal writes nothing.
 * In both scripts what a full Redis refuses stands first: it then refuses the whole, and the two keys still agree.
 * KEYS: reservations (sorted set `<request id>:<bytes>` by lapse time in ms of Redis), reserved bytes.
 * ARGV: request id, bytes, life in ms, limit of requests, limit of bytes. Returns `ok`, `jobs` or `bytes`.
 */
const RESERVE = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local bytes = tonumber(redis.call('GET', KEYS[2]) or '0')
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, member in ipairs(lapsed) do bytes = bytes - tonumber(string.match(member, ':(%d+)$')) end
local jobs = redis.call('ZCARD', KEYS[1]) - #lapsed
if jobs == 0 then bytes = 0 end
local verdict = 'ok'
if jobs >= tonumber(ARGV[4]) then verdict = 'jobs'
elseif bytes + tonumber(ARGV[2]) > tonumber(ARGV[5]) then verdict = 'bytes'
else
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1] .. ':' .. ARGV[2])
  bytes = bytes + tonumber(ARGV[2])
end
if #lapsed > 0 or verdict == 'ok' then
  if bytes > 0 then redis.call('SET', KEYS[2], bytes) else redis.call('DEL', KEYS[2]) end
end
if #lapsed > 0 then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now) end
return verdict`;

/** KEYS as above; ARGV: member, bytes. Safe to repeat. */
const RELEASE = `
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  if redis.call('ZCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[2])
  else redis.call('DECRBY', KEYS[2], ARGV[2]) end
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockReserve(
      reservations: string,
      bytesKey: string,
      requestId: string,
      bytes: number,
      lifeMs: number,
      limitJobs: number,
      limitBytes: number,
    ): Result<'ok' | 'jobs' | 'bytes', Context>;
    penstockRelease(reservations: string, bytesKey: string, member: string, bytes: number): Result<number, Context>;
  }
}

export interface ReservationLimits {
  readonly jobs: number;
  readonly bytes: number;
}

/** The waiting requests of each model, counted in Redis, so that all replicas share one bound. */
export class Reservations {
  readonly #redis: Redis;
  readonly #limits: ReservationLimits;

  constructor(redis: Redis, limits: ReservationLimits) {
    redis.defineCommand('penstockReserve', { numberOfKeys: 2, lua: RESERVE });
    redis.defineCommand('penstockRelease', { numberOfKeys: 2, lua: RELEASE });
    this.#redis = redis;
    this.#limits = limits;
  }

  /** @param lifeMs after which the reservation lapses by itself, should this replica die */
  reserve(model: string, requestId: string, bytes: number, lifeMs: number): Promise<'ok' | 'jobs' | 'bytes'> {
    const { jobs, bytes: limitBytes } = this.#limits;
    const [set, total] = [keys.reservations(model), keys.reservedBytes(model)];
    return this.#redis.penstockReserve(set, total, requestId, bytes, Math.ceil(lifeMs), jobs, limitBytes);
  }

  /** Gives the place back: the request was claimed, or ended. */
  async release(model: string, requestId: string, bytes: number): Promise<void> {
    const member = `${requestId}:${String(bytes)}`;
    await this.#redis.penstockRelease(keys.reservations(model), keys.reservedBytes(model), member, bytes);
  }
}
