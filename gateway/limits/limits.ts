import { Failure } from '../failure.ts';
import { monotonic, type Clock } from '#runtime/clock';
import type { RedisClient } from '#runtime/redis-client';
import type { Caller } from '../keys/caller.ts';
import { DayBudget } from './day-budget.ts';
import { MinuteWindow, type Counted } from './minute-window.ts';

const LIMITS = ['requests_per_minute', 'tokens_per_minute', 'tokens_per_day'] as const;
export type LimitName = (typeof LIMITS)[number];
/** SDKs obey no longer time, in milliseconds. */
const LONGEST_WAIT_MS = 60_000;

/** One limit of a key, after the request at hand was counted. */
export interface Standing {
  readonly limit: LimitName;
  readonly allowed: number;
  /** never below 0 */
  readonly remaining: number;
  /** until the window ends, in milliseconds */
  readonly resetMs: number;
}

/** What a request counts in the limits of its key. */
export interface Charge {
  /** The request never ran: it counts nothing. */
  giveBack(): void;
  /** The request is over. @param tokens that it used; absent: unknown, and the estimate stands */
  settle(tokens?: number): void;
}

type Answer = { readonly standings: readonly Standing[] } & (
  { readonly charge: Charge } | { readonly refusal: Failure }
);

export interface LimitsDeps {
  /** the first Redis; fails fast, because a client waits for it */
  readonly redis: RedisClient;
  readonly replica: string;
  readonly onOutcome: (outcome: `limited_${LimitName}`) => void;
}

/** One count that was asked for. */
interface Try extends Counted {
  readonly limit: LimitName;
  readonly allowed: number;
  readonly asked: number;
}

/** Limits of keys over all replicas. While Redis is away nothing is admitted, so nothing is unlimited. */
export class Limits {
  readonly #deps: LimitsDeps;
  readonly #clock: Clock;
  readonly #requests: MinuteWindow;
  readonly #tokens: MinuteWindow;
  readonly #day: DayBudget;

  constructor(deps: LimitsDeps, clock = monotonic) {
    this.#deps = deps;
    this.#clock = clock;
    this.#requests = new MinuteWindow(deps.redis, 'requests_per_minute');
    this.#tokens = new MinuteWindow(deps.redis, 'tokens_per_minute');
    this.#day = new DayBudget(deps.redis, deps.replica);
  }

  close(): void {
    this.#day.close();
  }

  /**
   * Counts a request in every limit of its key, in one round trip, or in none of them.
   * @param tokens estimate of prompt, pictures and the longest answer
   * @throws Failure `queue_unavailable`
   */
  async charge(caller: Caller, tokens: number): Promise<Answer> {
    const counting = {
      requests_per_minute: this.#requests.take(caller, 1),
      tokens_per_minute: this.#tokens.take(caller, tokens),
      tokens_per_day: this.#day.take(caller, tokens),
    };
    await Promise.allSettled(Object.values(counting));
    const tries: Try[] = [];
    let away = false;
    for (const limit of LIMITS) {
      const counted = await counting[limit].catch(() => {
        away = true;
      });
      const allowed = caller.limits[limit];
      if (counted === undefined || allowed === undefined) continue;
      tries.push({ ...counted, limit, allowed, asked: limit === 'requests_per_minute' ? 1 : tokens });
    }
    const charge = this.#chargeOf(caller.id, tries, tokens);
    if (away) {
      charge.giveBack();
      throw new Failure('queue_unavailable', 'the queue takes no requests at the moment; try again');
    }
    const standings = tries.map(({ limit, allowed, used, leftMs }) => ({
      limit,
      allowed,
      remaining: Math.max(0, allowed - used),
      resetMs: leftMs,
    }));
    const refusing = tries.filter(({ isAllowed }) => !isAllowed).toSorted((a, b) => waitOf(b) - waitOf(a))[0];
    if (refusing === undefined) return { standings, charge };
    charge.giveBack();
    this.#deps.onOutcome(`limited_${refusing.limit}`);
    return { standings, refusal: refusalOf(caller.id, refusing) };
  }

  /** What was counted, without what was refused. */
  #chargeOf(keyId: string, tries: readonly Try[], tokens: number): Charge {
    const counted = new Set(tries.filter(({ isAllowed }) => isAllowed).map(({ limit }) => limit));
    const now = this.#clock();
    const ends = new Map(tries.map(({ limit, leftMs }) => [limit, now + leftMs]));
    const correct = (window: MinuteWindow, limit: LimitName, by: number): void => {
      // A later window must not get what this one counted. What Redis refuses lapses with the minute.
      if (counted.has(limit) && this.#clock() < (ends.get(limit) ?? 0)) window.correct(keyId, by).catch(() => {});
    };
    const end = (used: number): void => {
      correct(this.#tokens, 'tokens_per_minute', used - tokens);
      if (counted.has('tokens_per_day')) this.#day.end(keyId, tokens, used);
    };
    return {
      giveBack: () => {
        correct(this.#requests, 'requests_per_minute', -1);
        end(0);
      },
      settle: (used = tokens) => end(used),
    };
  }
}

/** When the same request may be allowed, in milliseconds; infinity: never. */
function waitOf({ asked, allowed, leftMs }: Try): number {
  return asked > allowed ? Infinity : leftMs;
}

function refusalOf(keyId: string, refusing: Try): Failure {
  const { limit, allowed, asked, used } = refusing;
  const wait = waitOf(refusing);
  const rest = Math.max(0, allowed - used);
  const told =
    limit === 'requests_per_minute'
      ? ''
      : `; this request may need ${asked} (prompt, pictures and the longest answer), and ${rest} are left`;
  const then =
    wait === Infinity
      ? 'no later try can succeed: ask for a shorter answer, or shorten the prompt'
      : `try again in ${Math.ceil(wait / 1_000)} s`;
  return new Failure('rate_limit_exceeded', `the limit ${limit} of the key ${keyId} is ${allowed}${told}; ${then}`, {
    asked,
    allowed,
    refusal: limit,
    retryAfterMs: wait > LONGEST_WAIT_MS ? 'never' : wait,
  });
}
