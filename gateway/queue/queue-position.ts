import type { Result } from 'ioredis';
import { jobId, type Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';
import type { Admission } from './admission.ts';
import type { HeldBody } from './held-body.ts';
import { MEASURED } from './pace-script.ts';
import type { Place } from './reservations.ts';

/** How often positions are read, in ms. */
const EVERY_MS = 1_000;
/** Limit for one call of the script, which holds Redis for 5 to 6 µs a job. */
const JOBS_AT_ONCE = 1_000;

/**
 * How many jobs go before each of these. ZRANK would be another right that users of Redis must have.
 * KEYS: 1 prioritized, 2 shares, 3 pace. ARGV: job ids. Returns v, its advance per ms (empty without a
 * measurement), and for each job a count or nil.
 */
const POSITIONS = `${MEASURED}
local pace = measured(redis.call('GET', KEYS[3]))
local before = {}
for i, id in ipairs(ARGV) do
  local score = redis.call('ZSCORE', KEYS[1], id)
  before[i] = score and redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
end
local function text(number) return number and string.format('%.17g', number) or '' end
return {redis.call('HGET', KEYS[2], 'v') or '0', text(pace), before}`;

type Reply = [v: string, pace: string, before: (number | null)[]];

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockPositions(...args: string[]): Result<Reply, Context>;
  }
}

/** Where a waiting request is. */
export interface Standing {
  /** 1: it is next */
  readonly position: number;
  /** estimated rest of its wait, in milliseconds; undefined: nothing is known */
  readonly etaMs: number | undefined;
}

interface Waiter {
  readonly model: string;
  readonly kind: Kind;
  readonly body: HeldBody;
}

interface Follower {
  readonly waiter: Waiter;
  /** of its job */
  readonly id: string;
  /** undefined: it is not in the queue, or Redis does not answer */
  readonly read: (standing: Standing | undefined) => void;
}

/** Where a request of this replica is in the queue. */
export type Positions = Pick<QueuePositions, 'follow'>;

type Admitted = Pick<Admission, 'placeOf' | 'guess'>;

/** Reads where the waiting requests of this replica are, once a second for all that need it. */
export class QueuePositions {
  readonly #redis: RedisClient;
  readonly #admission: Admitted;
  readonly #followers = new Set<Follower>();
  #timer: NodeJS.Timeout | undefined;
  #isReading = false;

  constructor(redis: RedisClient, admission: Admitted) {
    redis.defineCommand('penstockPositions', { numberOfKeys: 3, lua: POSITIONS });
    this.#redis = redis;
    this.#admission = admission;
  }

  /**
   * Reads the position of a request each second, the first time immediately unless others are followed already.
   * @param read is called after each reading
   * @returns ends it
   */
  follow(waiter: Waiter, requestId: string, read: Follower['read']): () => void {
    const follower = { waiter, id: jobId(requestId, 1), read };
    this.#followers.add(follower);
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => void this.#read(), EVERY_MS);
      void this.#read();
    }
    return () => {
      this.#followers.delete(follower);
      if (this.#followers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  async #read(): Promise<void> {
    // Redis may need longer than a second for its answer.
    if (this.#isReading) return;
    this.#isReading = true;
    // Called without a pause between them, so they leave as one pipeline.
    await Promise.all(this.#parts().map((followers) => this.#readPart(followers)));
    this.#isReading = false;
  }

  async #readPart(followers: readonly [Follower, ...Follower[]]): Promise<void> {
    const { model, kind } = followers[0].waiter;
    const keys = [
      `${redisKeys.queuePrefix(model)}:${kind}:prioritized`,
      redisKeys.shares(model, kind),
      redisKeys.pace(model, kind),
    ];
    const ids = followers.map(({ id }) => id);
    const reply = await this.#redis.penstockPositions(...keys, ...ids).catch(() => undefined);
    const etaMs = reply === undefined ? () => undefined : estimate(reply, this.#admission.guess(model, kind));
    for (const [i, { waiter, read }] of followers.entries()) {
      const before = reply?.[2][i] ?? undefined;
      read(
        before === undefined ? undefined : { position: before + 1, etaMs: etaMs(this.#admission.placeOf(waiter.body)) },
      );
    }
  }

  /** Followers of one queue each, as many as one call takes. */
  #parts(): (readonly [Follower, ...Follower[]])[] {
    const parts: [Follower, ...Follower[]][] = [];
    const open = new Map<string, [Follower, ...Follower[]]>();
    for (const follower of this.#followers) {
      const { model, kind } = follower.waiter;
      const name = `${model}/${kind}`;
      const part = open.get(name);
      if (part !== undefined && part.length < JOBS_AT_ONCE) part.push(follower);
      else {
        const next: [Follower, ...Follower[]] = [follower];
        open.set(name, next);
        parts.push(next);
      }
    }
    return parts;
  }
}

/** The estimate of `RESERVE`, at this moment. @param guess cost units a ms, while nothing is measured */
function estimate([v, pace]: Reply, guess: number): (place: Place | undefined) => number | undefined {
  const perMs = pace === '' ? guess : Number(pace);
  return (place) => {
    if (place === undefined || perMs <= 0) return undefined;
    return Math.round(Math.max(1, Number(place.tag) - Number(v)) / perMs);
  };
}
