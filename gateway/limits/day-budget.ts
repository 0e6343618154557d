import type { Result } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';
import type { Caller } from '../keys/caller.ts';
import type { Counted } from './minute-window.ts';

/** What runs at a replica counts this long after its last report, in ms: a killed replica's requests cost nothing. */
const LEASE_MS = 15_000;

/**
 * The day of a key: what its ended requests used, and the estimates of those that run. No counter with an expiry can
 * express this, because the estimates of a killed replica lapse and the rest of the day stays.
 * KEYS: 1 hash: `day` (since 1970, UTC), `used` (tokens), and for each replica with running requests
 * `<time in ms at which they lapse> <tokens>`. ARGV: 1 replica, 2 estimate that begins, below 0: that ends, 3 limit, 4
 * tokens used, 5 the replica's own sum before this, empty: as stored, 6 lease in ms.
 * Returns 1 or 0 for refused, all that counts, the rest of the day in ms. A refusal writes nothing.
 */
const BUDGET = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local today = math.floor(now / 86400000)
local left = (today + 1) * 86400000 - now
local day, used, own, others, lapsed = 0, 0, 0, 0, {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'day' then day = tonumber(value)
  elseif name == 'used' then used = tonumber(value)
  else
    local lapses, sum = string.match(value, '^(%d+) (%d+)$')
    if name == ARGV[1] then own = tonumber(sum)
    elseif tonumber(lapses) > now then others = others + tonumber(sum)
    else lapsed[#lapsed + 1] = name end
  end
end
if day ~= today then used = 0 end
if ARGV[5] ~= '' then own = tonumber(ARGV[5]) end
local change = tonumber(ARGV[2])
if change > 0 and used + others + own + change > tonumber(ARGV[3]) then return {0, used + others + own, left} end
used = used + tonumber(ARGV[4])
own = math.max(0, own + change)
redis.call('HSET', KEYS[1], 'day', today, 'used', string.format('%.0f', used))
if own > 0 then redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f', now + ARGV[6], own))
else redis.call('HDEL', KEYS[1], ARGV[1]) end
for _, name in ipairs(lapsed) do redis.call('HDEL', KEYS[1], name) end
redis.call('PEXPIRE', KEYS[1], left + ARGV[6])
return {1, used + others + own, left}`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockDayBudget(...args: (string | number)[]): Result<[number, number, number], Context>;
  }
}

/** What this replica runs for one key. */
interface Running {
  /** sum of the estimates */
  tokens: number;
  /** requests whose admission Redis has not answered */
  asking: number;
  /** used tokens that Redis has not counted yet */
  unbooked: number;
}

/** Tokens a day (UTC), counted in the first Redis. */
export class DayBudget {
  readonly #redis: RedisClient;
  readonly #replica: string;
  readonly #leaseMs: number;
  readonly #keys = new Map<string, Running>();
  readonly #renewing: NodeJS.Timeout;

  /** @param leaseMs see `LEASE_MS` */
  constructor(redis: RedisClient, replica: string, leaseMs = LEASE_MS) {
    redis.defineCommand('penstockDayBudget', { numberOfKeys: 1, lua: BUDGET });
    this.#redis = redis;
    this.#replica = replica;
    this.#leaseMs = leaseMs;
    this.#renewing = setInterval(() => this.#renew(), leaseMs / 3).unref();
  }

  close(): void {
    clearInterval(this.#renewing);
  }

  /**
   * Counts the estimate of a request that begins.
   * @returns undefined if the key has no such limit
   * @throws Error of Redis
   */
  async take({ id, limits }: Caller, tokens: number): Promise<Counted | undefined> {
    const { tokens_per_day: limit } = limits;
    if (limit === undefined) return undefined;
    const running = this.#keys.get(id) ?? { tokens: 0, asking: 0, unbooked: 0 };
    this.#keys.set(id, running);
    running.asking += 1;
    try {
      const [allowed, used, leftMs] = await this.#redis.penstockDayBudget(
        redisKeys.dayBudget(id),
        this.#replica,
        tokens,
        limit,
        0,
        '',
        this.#leaseMs,
      );
      if (allowed === 1) running.tokens += tokens;
      return { isAllowed: allowed === 1, used, leftMs };
    } finally {
      running.asking -= 1;
      this.#forgetIfIdle(id, running);
    }
  }

  /** A request ended: its estimate no longer counts, what it used does. It is counted later if Redis is away. */
  end(keyId: string, estimate: number, used: number): void {
    const running = this.#keys.get(keyId);
    if (running === undefined) return;
    running.unbooked += used;
    this.#write(keyId, running, -estimate);
  }

  #renew(): void {
    for (const [keyId, running] of this.#keys) this.#write(keyId, running, 0);
  }

  #write(keyId: string, running: Running, change: number): void {
    // The stored sum drifts when Redis ran a command whose answer was lost. It is mended while no admission is open,
    // because only Redis knows whether an open one counts.
    const own = running.asking === 0 ? running.tokens : '';
    const used = running.unbooked;
    running.tokens += change;
    running.unbooked = 0;
    this.#redis
      .penstockDayBudget(redisKeys.dayBudget(keyId), this.#replica, change, 0, used, own, this.#leaseMs)
      .catch(() => {
        const now = this.#keys.get(keyId) ?? running;
        now.unbooked += used;
        this.#keys.set(keyId, now);
      });
    this.#forgetIfIdle(keyId, running);
  }

  #forgetIfIdle(keyId: string, { tokens, asking, unbooked }: Running): void {
    if (tokens === 0 && asking === 0 && unbooked === 0) this.#keys.delete(keyId);
  }
}
