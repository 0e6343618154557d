import type { Result } from 'ioredis';
import type { Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { SERVICE_CLASSES } from '#contract/service-class';
import type { RedisClient } from '#runtime/redis-client';
import type { Admission } from './admission.ts';
import { MEASURED } from './pace-script.ts';
import { PRIORITIES } from './priority-script.ts';

/** Keys that are listed, those with the longest backlog first. */
const MOST_KEYS = 50;

/**
 * Reads how a queue drains, and what waits in it.
 * KEYS: 1 prioritized, 2 shares, 3 pace, 4 bookings. ARGV: 1 `keys` if the tags of the keys are wanted. Returns v, the
 * highest tag that waits, the results of `measured` (all empty if unknown), open bookings, and names
 * and values of the shares.
 */
const OUTLOOK = `${MEASURED}${PRIORITIES}
local function text(number) return number and string.format('%.17g', number) or '' end
local shares = redis.call('HMGET', KEYS[2], 'v', 'base')
local v, base = tonumber(shares[1] or '0'), tonumber(shares[2] or '0')
local score = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local top = score and math.max(v, ahead_of(priority_in(score)) + base)
local pace, turns = measured(redis.call('GET', KEYS[3]))
local t = redis.call('TIME')
local open = redis.call('ZCOUNT', KEYS[4], '(' .. (t[1] * 1000 + math.floor(t[2] / 1000)), '+inf')
local tags = ARGV[1] == 'keys' and redis.call('HGETALL', KEYS[2]) or {}
return {text(v), text(top), text(pace), text(turns), open, tags}`;

type Reply = [v: string, top: string, pace: string, turns: string, bookings: number, tags: string[]];

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockOutlook(...args: string[]): Result<Reply, Context>;
  }
}

/** How one queue of a model drains. Null: nothing is known. */
export interface Outlook {
  /** expected wait of its last request, in milliseconds */
  readonly expectedWaitMs: number | null;
  /** what the engines took while requests waited */
  readonly requestsPerSecond: number | null;
  /** open bookings */
  readonly bookings: number;
  /** keys whose requests wait or are booked, and how long the queue needs for all of them, in milliseconds */
  readonly keys: readonly { readonly key: string; readonly class: string; readonly backlogMs: number }[];
}

/** What operators see of the queues. */
export class QueueOutlook {
  readonly #redis: RedisClient;
  readonly #admission: Pick<Admission, 'guess'>;

  constructor(redis: RedisClient, admission: Pick<Admission, 'guess'>) {
    redis.defineCommand('penstockOutlook', { numberOfKeys: 4, lua: OUTLOOK });
    this.#redis = redis;
    this.#admission = admission;
  }

  /** @param withKeys false: `keys` stays empty, because there may be thousands @throws while Redis is away */
  async read(model: string, kind: Kind, withKeys: boolean): Promise<Outlook> {
    const [v, top, pace, turns, bookings, tags] = await this.#redis.penstockOutlook(
      `${redisKeys.queuePrefix(model)}:${kind}:prioritized`,
      redisKeys.shares(model, kind),
      redisKeys.pace(model, kind),
      redisKeys.bookings(model, kind),
      withKeys ? 'keys' : '',
    );
    const perMs = pace === '' ? this.#admission.guess(model, kind) : Number(pace);
    const until = (tag: string): number => (Number(tag) - Number(v)) / perMs;
    return {
      expectedWaitMs: top === '' ? 0 : perMs > 0 ? Math.round(Math.max(1 / perMs, until(top))) : null,
      requestsPerSecond: turns === '' ? null : Number(turns) * 1_000,
      bookings,
      keys: perMs > 0 ? backlogs(tags, until) : [],
    };
  }
}

/** @param tags names and values of the shares, alternating */
function backlogs(tags: readonly string[], until: (tag: string) => number): Outlook['keys'] {
  return tags
    .flatMap((name, i) => (i % 2 === 0 ? { ...keyOf(name), backlogMs: Math.round(until(tags[i + 1] ?? '')) } : []))
    .filter(({ key, backlogMs }) => key !== '' && backlogMs > 0)
    .sort((a, b) => b.backlogMs - a.backlogMs)
    .slice(0, MOST_KEYS);
}

/** @param name as `RESERVE` writes it; other fields have an empty key */
function keyOf(name: string): { readonly key: string; readonly class: string } {
  const [, key = '', named = 'default'] = /^t:(\S+)(?: (\S+))?$/.exec(name) ?? [];
  return { key, class: SERVICE_CLASSES.find((one) => one === named) ?? 'default' };
}
