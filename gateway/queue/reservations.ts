import type { Redis, Result } from 'ioredis';
import type { Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';

/** Priority of requests without keys, and of repeated ones. Never 0: BullMQ serves that separately. */
export const FIRST = 1;
/** BullMQ takes priorities up to 2^21; above this value the queue's priorities are lowered. */
const REBASE_ABOVE = 1_500_000;
const HIGHEST = 2_000_000;

/**
 * Makes a reservation among the waiting requests of a model and of the caller's key. Gives it a priority that shares the
 * engines between keys. A refusal writes nothing. In both scripts the commands that a full Redis refuses come first:
 * Redis then refuses the entire script, and the keys stay consistent.
 * Shares: the queue's virtual time `v` is the tag of the request that was taken last. A request's tag is the larger of
 * `v` and its key's last tag, plus cost / weight. The lowest tag goes next (priority = tag - base + 1). So the request
 * of an idle key has only its own cost before it, however much waits for other keys. An empty queue starts again from
 * 0. When priorities become too large, the script lowers base and all queued priorities by the progress of `v`.
 * KEYS: 1 reservations (sorted set `<request id>:<bytes>` by lapse time in ms of Redis), 2 reserved bytes, 3 shares
 * (hash: v, base, `t:<key id>`). 4 reservations of the key, 5-7 BullMQ's prioritized, delayed, active, 8 the body.
 * ARGV: 1 request id, 2 bytes, 3 expiry of shares in ms, 4 limit of requests, 5 of bytes. 6 key id, empty: no shares, 7
 * cost / weight, 8 and 9 the key's own limits, 0: none. 10 prefix of BullMQ's jobs, 11 rebase above, 12 highest
 * priority. 13 expiry of the reservation in ms, 14 timeout in ms until the body is stored, 0: it is stored elsewhere.
 * Returns the verdict (`ok`, `jobs`, `bytes`, `key_jobs`, `key_bytes`), the priority, the tag.
 */
const RESERVE = `
local function keep(key)
  if redis.call('PTTL', key) < tonumber(ARGV[3]) then redis.call('PEXPIRE', key, ARGV[3]) end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local size = tonumber(ARGV[2])
local bytes = tonumber(redis.call('GET', KEYS[2]) or '0')
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, member in ipairs(lapsed) do bytes = bytes - tonumber(string.match(member, ':(%d+)$')) end
local jobs = redis.call('ZCARD', KEYS[1]) - #lapsed
if jobs == 0 then bytes = 0 end
local capJobs, capBytes = tonumber(ARGV[8]), tonumber(ARGV[9])
local verdict = 'ok'
if jobs >= tonumber(ARGV[4]) then verdict = 'jobs'
elseif bytes + size > tonumber(ARGV[5]) then verdict = 'bytes'
elseif capJobs > 0 and redis.call('ZCOUNT', KEYS[4], '(' .. now, '+inf') >= capJobs then verdict = 'key_jobs'
elseif capBytes > 0 then
  local own = size
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. now, '+inf')) do
    own = own + tonumber(string.match(member, ':(%d+)$'))
  end
  if own > capBytes then verdict = 'key_bytes' end
end
local member = ARGV[1] .. ':' .. ARGV[2]
local lapses = now + tonumber(ARGV[13])
if verdict == 'ok' then
  redis.call('ZADD', KEYS[1], lapses, member)
  bytes = bytes + size
  if ARGV[14] ~= '0' then redis.call('SET', KEYS[8], '', 'PX', ARGV[14]) end
end
if #lapsed > 0 or verdict == 'ok' then
  if bytes > 0 then redis.call('SET', KEYS[2], bytes) else redis.call('DEL', KEYS[2]) end
end
if #lapsed > 0 then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now) end
if verdict ~= 'ok' or ARGV[6] == '' then return {verdict, 1, ''} end

if capJobs > 0 or capBytes > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  redis.call('ZADD', KEYS[4], lapses, member)
  keep(KEYS[4])
end
if jobs == 0 then redis.call('DEL', KEYS[3]) end
local field = 't:' .. ARGV[6]
local shares = redis.call('HMGET', KEYS[3], 'v', 'base', field)
local v, base = tonumber(shares[1] or '0'), tonumber(shares[2] or '0')
local tag = math.max(v, tonumber(shares[3] or '0')) + tonumber(ARGV[7])
local past = math.floor(v - base)
if tag - base > tonumber(ARGV[11]) and past > 0 then
  local queued = redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES')
  for i = 1, #queued, 2 do
    local score = tonumber(queued[i + 1])
    local lower = math.max(1, math.floor(score / 4294967296) - past)
    redis.call('ZADD', KEYS[5], string.format('%.0f', lower * 4294967296 + score % 4294967296), queued[i])
    redis.call('HSET', ARGV[10] .. queued[i], 'priority', lower)
  end
  for _, ids in ipairs({redis.call('ZRANGE', KEYS[6], 0, -1), redis.call('LRANGE', KEYS[7], 0, -1)}) do
    for _, id in ipairs(ids) do
      local high = tonumber(redis.call('HGET', ARGV[10] .. id, 'priority') or '0')
      if high > 0 then redis.call('HSET', ARGV[10] .. id, 'priority', math.max(1, high - past)) end
    end
  end
  base = base + past
  redis.call('HSET', KEYS[3], 'base', string.format('%.17g', base))
end
local exact = string.format('%.17g', tag)
redis.call('HSET', KEYS[3], field, exact)
keep(KEYS[3])
return {verdict, math.min(math.floor(tag - base) + 1, tonumber(ARGV[12])), exact}`;

/**
 * KEYS: 1 reservations, 2 reserved bytes, 3 shares, 4 reservations of the key. ARGV: member, bytes, tag if the request
 * was taken, otherwise empty. Safe to repeat.
 */
const RELEASE = `
if ARGV[3] ~= '' and redis.call('EXISTS', KEYS[3]) == 1 then
  if tonumber(ARGV[3]) > tonumber(redis.call('HGET', KEYS[3], 'v') or '0') then redis.call('HSET', KEYS[3], 'v', ARGV[3]) end
end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  if redis.call('ZCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[2])
  else redis.call('DECRBY', KEYS[2], ARGV[2]) end
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREM', KEYS[4], ARGV[1])
return 1`;

/**
 * Extends the reservations of requests that still wait, and restores lost ones, for example after a restart of Redis.
 * KEYS: 1 reservations, 2 reserved bytes. ARGV: expiry in ms, then pairs of `<member>` and `<key of the caller's own
 * set>` or empty.
 */
const RENEW = `
local t = redis.call('TIME')
local lapses = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], lapses, ARGV[i]) == 1 then
    redis.call('INCRBY', KEYS[2], string.match(ARGV[i], ':(%d+)$'))
  end
  if ARGV[i + 1] ~= '' then redis.call('ZADD', ARGV[i + 1], 'XX', lapses, ARGV[i]) end
end
return 1`;

/** Expiry of a reservation, in ms. Its replica renews it in time; if the replica dies, the reservation lapses. */
const PLACE_MS = 15_000;
/** How many reservations one command renews. */
const RENEWED_AT_ONCE = 1_000;

type Verdict = 'ok' | 'jobs' | 'bytes' | 'key_jobs' | 'key_bytes';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockReserve(...args: (string | number)[]): Result<[Verdict, number, string], Context>;
    penstockRelease(...args: (string | number)[]): Result<number, Context>;
    penstockRenew(...args: (string | number)[]): Result<number, Context>;
  }
}

export interface ReservationLimits {
  readonly jobs: number;
  readonly bytes: number;
}

/** Limits of the caller's key: its share of the engines, and how much of it may wait. */
export interface Share {
  /** of this request, in units of 256 tokens */
  readonly cost: number;
  readonly weight: number;
  readonly caps: { readonly waiting_jobs?: number | undefined; readonly waiting_bytes?: number | undefined };
}

/** A request that applies for a reservation. */
export interface Applicant {
  readonly model: string;
  readonly kind: Kind;
  readonly requestId: string;
  readonly keyId: string;
  readonly bytes: number;
  /** absent without keys */
  readonly share?: Share;
}

/** A granted reservation; `tag` is empty if keys do not share the engines. */
export interface Place {
  readonly verdict: Verdict;
  /** BullMQ's priority: the lowest goes first */
  readonly priority: number;
  readonly tag: string;
}

/** The waiting requests of each model, counted in Redis, so that all replicas share one limit and one order. */
export class Reservations {
  readonly #redis: Redis;
  readonly #limits: ReservationLimits;
  readonly #placeMs: number;
  /** of this replica, by the member of the sorted sets */
  readonly #held = new Map<string, Applicant>();
  readonly #renewing: NodeJS.Timeout;

  /** @param placeMs expiry of a reservation that is not renewed, in milliseconds */
  constructor(redis: Redis, limits: ReservationLimits, placeMs = PLACE_MS) {
    redis.defineCommand('penstockReserve', { numberOfKeys: 8, lua: RESERVE });
    redis.defineCommand('penstockRelease', { numberOfKeys: 4, lua: RELEASE });
    redis.defineCommand('penstockRenew', { numberOfKeys: 2, lua: RENEW });
    this.#redis = redis;
    this.#limits = limits;
    this.#placeMs = placeMs;
    this.#renewing = setInterval(() => void this.#renew().catch(() => {}), placeMs / 3).unref();
  }

  close(): void {
    clearInterval(this.#renewing);
  }

  /**
   * @param lifeMs how long the order of the keys is kept at least
   * @param bodyWithinMs how long the body's key is held open, if it is in the same Redis. The body is stored only while
   * that key exists, so that a late write brings no job to an engine. 0 if the body is stored elsewhere.
   */
  async reserve(applicant: Applicant, lifeMs: number, bodyWithinMs = 0): Promise<Place> {
    const { model, kind, requestId, keyId, bytes, share } = applicant;
    const { jobs, bytes: limitBytes } = this.#limits;
    const queue = `${redisKeys.queuePrefix(model)}:${kind}:`;
    const [verdict, priority, tag] = await this.#redis.penstockReserve(
      ...placeKeys(applicant),
      ...['prioritized', 'delayed', 'active'].map((state) => queue + state),
      redisKeys.body(model, requestId),
      requestId,
      bytes,
      Math.ceil(lifeMs),
      jobs,
      limitBytes,
      share === undefined ? '' : keyId,
      share === undefined ? 0 : share.cost / share.weight,
      share?.caps.waiting_jobs ?? 0,
      share?.caps.waiting_bytes ?? 0,
      queue,
      REBASE_ABOVE,
      HIGHEST,
      this.#placeMs,
      bodyWithinMs,
    );
    if (verdict === 'ok') this.#held.set(memberOf(applicant), applicant);
    return { verdict, priority, tag };
  }

  /**
   * Releases the reservation: the request was taken, or ended while it waited.
   * @param tag of a request that was taken; otherwise empty
   */
  async release(applicant: Applicant, tag = ''): Promise<void> {
    this.#held.delete(memberOf(applicant));
    await this.#redis.penstockRelease(...placeKeys(applicant), memberOf(applicant), applicant.bytes, tag);
  }

  async #renew(): Promise<void> {
    for (const model of new Set([...this.#held.values()].map((one) => one.model))) {
      const held = [...this.#held].filter(([, one]) => one.model === model);
      for (let from = 0; from < held.length; from += RENEWED_AT_ONCE) {
        const places = held.slice(from, from + RENEWED_AT_ONCE).flatMap(([member, { keyId, share }]) => {
          const { waiting_jobs: jobs, waiting_bytes: bytes } = share?.caps ?? {};
          return [member, jobs === undefined && bytes === undefined ? '' : redisKeys.reservationsOf(model, keyId)];
        });
        await this.#redis.penstockRenew(
          redisKeys.reservations(model),
          redisKeys.reservedBytes(model),
          this.#placeMs,
          ...places,
        );
      }
    }
  }
}

function memberOf({ requestId, bytes }: Applicant): string {
  return `${requestId}:${bytes}`;
}

function placeKeys({ model, kind, keyId }: Applicant): [string, string, string, string] {
  return [
    redisKeys.reservations(model),
    redisKeys.reservedBytes(model),
    redisKeys.shares(model, kind),
    redisKeys.reservationsOf(model, keyId),
  ];
}
