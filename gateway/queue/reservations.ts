import type { Result } from 'ioredis';
import type { Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import type { ServiceClass } from '#contract/service-class';
import type { RedisClient } from '#runtime/redis-client';
import { RELEASE, RENEW } from './release-scripts.ts';
import { RESERVE } from './reserve-script.ts';

/** Priority of repeated requests. Never 0: BullMQ serves that separately. */
export const FIRST = 1;
/** After this advance of virtual time the queue's priorities are lowered; a quarter of BullMQ's range. */
const REBASE_ABOVE = 2 ** 19;

/** Expiry of a reservation, in ms. Its replica renews it in time; if the replica dies, the reservation lapses. */
const PLACE_MS = 15_000;
/** How many reservations one command renews. */
const RENEWED_AT_ONCE = 1_000;
/** After a reply with open bookings each request brings its fingerprint for this long, in ms. */
const BOOKINGS_LAST_MS = 90_000;

export type Verdict = 'ok' | 'jobs' | 'bytes' | 'key_jobs' | 'key_bytes' | 'late';
type Reply = [
  verdict: Verdict | 'hash',
  priority: number,
  tag: string,
  growth: string,
  waitMs: number,
  open: number,
  bookedMs: number,
  isBooked: number,
];

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockReserve(...args: (string | number)[]): Result<Reply, Context>;
    penstockRelease(...args: (string | number)[]): Result<number, Context>;
    penstockRenew(...args: (string | number)[]): Result<number, Context>;
  }
}

export interface ReservationLimits {
  readonly jobs: number;
  readonly bytes: number;
}

/** The caller's share of the engines, and how much of it may wait. */
export interface Share {
  /** of this request, in units of 4 tokens */
  readonly cost: number;
  readonly weight: number;
  readonly caps: { readonly waiting_jobs?: number | undefined; readonly waiting_bytes?: number | undefined };
  readonly class: ServiceClass;
  /** others have keys too, so a part of the queue is kept for those that hold little of it */
  readonly isOneOfMany: boolean;
  /** a part of a request that was accepted before */
  readonly goesFirst?: true;
}

/** A request that applies for a reservation. */
export interface Applicant {
  readonly model: string;
  readonly kind: Kind;
  readonly requestId: string;
  readonly keyId: string;
  readonly bytes: number;
  readonly share: Share;
  /** the same for each try of the same call; only called while bookings are open, or to make one */
  readonly fingerprint: () => string;
  /** its client says that this is not the first try */
  readonly isRetry: boolean;
}

/** The conditions of one reservation. */
export interface Terms {
  /** remaining time until the deadline, in milliseconds */
  readonly leftMs: number;
  /** how long the order of the keys is kept at least, in milliseconds */
  readonly lifeMs: number;
  /**
   * how long the body's key is held open, in ms, if it is in the same Redis. The body is stored only while that key
   * exists, so that a late write brings no job to an engine. 0 if the body is stored elsewhere
   */
  readonly bodyWithinMs: number;
  /** cost units a ms that the ready engines drain, while nothing is measured; 0: unknown */
  readonly guess: number;
}

/** A granted reservation, or a refusal. */
export interface Place {
  readonly verdict: Verdict;
  /** BullMQ's priority: the lowest goes first */
  readonly priority: number;
  readonly tag: string;
  /** by how much this request raised its key's tag */
  readonly growth: string;
  /** it was let in with a booking */
  readonly isBooked: boolean;
  /** estimated wait in milliseconds; undefined: nothing is known */
  readonly waitMs: number | undefined;
  /** of a refused request: time until the moment for which a place is booked, in milliseconds; undefined: none is */
  readonly bookedMs: number | undefined;
}

/** The waiting requests of each model, counted in Redis, so that all replicas share one limit and one order. */
export class Reservations {
  readonly #redis: RedisClient;
  readonly #limits: ReservationLimits;
  readonly #placeMs: number;
  /** of this replica, by the member of the sorted sets */
  readonly #held = new Map<string, Applicant>();
  readonly #renewing: NodeJS.Timeout;
  /** until when bookings may be open, so that each request needs its fingerprint; monotonic ms */
  #bookedUntil = 0;

  /** @param placeMs expiry of a reservation that is not renewed, in milliseconds */
  constructor(redis: RedisClient, limits: ReservationLimits, placeMs = PLACE_MS) {
    redis.defineCommand('penstockReserve', { numberOfKeys: 11, lua: RESERVE });
    redis.defineCommand('penstockRelease', { numberOfKeys: 5, lua: RELEASE });
    redis.defineCommand('penstockRenew', { numberOfKeys: 2, lua: RENEW });
    this.#redis = redis;
    this.#limits = limits;
    this.#placeMs = placeMs;
    this.#renewing = setInterval(() => void this.#renew().catch(() => {}), placeMs / 3).unref();
  }

  close(): void {
    clearInterval(this.#renewing);
  }

  async reserve(applicant: Applicant, terms: Terms): Promise<Place> {
    const knowsBookings = performance.now() < this.#bookedUntil;
    let reply = await this.#reserve(applicant, terms, knowsBookings ? applicant.fingerprint() : '');
    if (reply[0] === 'hash') reply = await this.#reserve(applicant, terms, applicant.fingerprint());
    const [answer, priority, tag, growth, waitMs, open, bookedMs, isBooked] = reply;
    this.#bookedUntil = open > 0 ? performance.now() + BOOKINGS_LAST_MS : 0;
    if (answer === 'hash') throw new Error('a request with a fingerprint was asked for one');
    const verdict = answer;
    if (verdict === 'ok') this.#held.set(memberOf(applicant), applicant);
    const known = (ms: number): number | undefined => (ms < 0 ? undefined : ms);
    return {
      verdict,
      priority,
      tag,
      growth,
      isBooked: isBooked === 1,
      waitMs: known(waitMs),
      bookedMs: known(bookedMs),
    };
  }

  async #reserve(applicant: Applicant, terms: Terms, fingerprint: string): Promise<Reply> {
    const { model, kind, requestId, keyId, bytes, share, isRetry } = applicant;
    const { jobs, bytes: limitBytes } = this.#limits;
    const queue = `${redisKeys.queuePrefix(model)}:${kind}:`;
    return this.#redis.penstockReserve(
      ...placeKeys(applicant),
      ...['prioritized', 'delayed', 'active'].map((state) => queue + state),
      redisKeys.body(model, requestId),
      redisKeys.pace(model, kind),
      redisKeys.bookings(model, kind),
      redisKeys.booked(model, kind),
      requestId,
      bytes,
      Math.ceil(terms.lifeMs),
      jobs,
      limitBytes,
      // No key has this name, so its tag is that of the request that was taken last.
      share.goesFirst === true ? '' : keyId,
      share.cost / share.weight,
      share.caps.waiting_jobs ?? 0,
      share.caps.waiting_bytes ?? 0,
      queue,
      REBASE_ABOVE,
      this.#placeMs,
      terms.bodyWithinMs,
      share.class,
      fingerprint,
      isRetry ? 1 : 0,
      Math.ceil(terms.leftMs),
      terms.guess,
      share.isOneOfMany ? Math.floor(jobs / 10) : 0,
    );
  }

  /**
   * Releases the reservation: the request was taken, or ended while it waited.
   * @param place absent if it got none
   * @param waitedMs how long it waited until it was taken, in milliseconds; absent if it was not taken
   */
  async release(applicant: Applicant, place?: Place, waitedMs?: number): Promise<void> {
    this.#held.delete(memberOf(applicant));
    const { model, kind, bytes, share } = applicant;
    const keyId = share.goesFirst === true ? '' : applicant.keyId;
    await this.#redis.penstockRelease(
      ...placeKeys(applicant),
      redisKeys.pace(model, kind),
      memberOf(applicant),
      bytes,
      waitedMs === undefined ? '' : (place?.tag ?? ''),
      place?.growth ?? 0,
      share.cost / share.weight,
      Math.ceil(waitedMs ?? 0),
      keyId,
      keyId === '' ? '' : `t:${keyId}${share.class === 'default' ? '' : ` ${share.class}`}`,
      place?.isBooked === true ? 1 : 0,
    );
  }

  async #renew(): Promise<void> {
    for (const model of new Set([...this.#held.values()].map((one) => one.model))) {
      const held = [...this.#held].filter(([, one]) => one.model === model);
      for (let from = 0; from < held.length; from += RENEWED_AT_ONCE) {
        const places = held.slice(from, from + RENEWED_AT_ONCE).flatMap(([member, { keyId, share }]) => {
          const { waiting_jobs: jobs, waiting_bytes: bytes } = share.caps;
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
