import { createHash } from 'node:crypto';
import { Queue } from 'bullmq';
import { Failure, isFailure } from '../failure.ts';
import { BODY_GRACE_MS, jobId, KINDS, type JobV1, type Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { setPieces } from '#runtime/redis-set-pieces';
import { addJob, defineAddJob } from './add-job.ts';
import type { HeldBody } from './held-body.ts';
import type { AdmissionOutcome } from './outcome.ts';
import { refusal } from './refusal.ts';
import { FIRST, type Applicant, type Place, type Reservations, type Share } from './reservations.ts';

/** Reply lag above which this replica admits no more requests, in milliseconds. */
const LAG_LIMIT_MS = 1_000;
/**
 * From reservation to body and job, in ms of Redis time: longer than a harmless pause of Redis, shorter than a client
 * waits.
 */
const BODY_WITHIN_MS = 4_500;
/** How often a clean-up that Redis refuses (full, read-only) is tried, and the pause between tries in ms. */
const CLEAN_UP_TRIES = 60;
const CLEAN_UP_PAUSE_MS = 1_000;
/** While no pace is measured, a slot is expected to drain a cost unit of 4 tokens in this time, in ms. */
const UNIT_MS = 75;
/** The order of the keys is kept at least this long, in ms: longer than any booking. */
const SHARES_MS = 120_000;
/** The queue is available after this long without a refusal, in ms: a full or evicting Redis refuses only some. */
const CALM_MS = 5_000;

export interface AdmissionDeps {
  /** queue and reservations; fails fast, because a client waits for it */
  readonly redis: RedisClient;
  /** bodies */
  readonly bodies: RedisClient;
  readonly reservations: Reservations;
  readonly lagMs: () => number;
  /** requests that the ready engines of a model work on at a time */
  readonly slots: (model: string, kind: Kind) => number;
  readonly onOutcome: (outcome: AdmissionOutcome) => void;
  readonly onJobAdded: () => void;
  readonly log: Log;
}

/** A request that applies for a reservation. */
export interface Candidate {
  readonly job: Omit<JobV1, 'v' | 'epoch'>;
  /** id of the caller's key, `anonymous` without keys */
  readonly keyId: string;
  readonly body: HeldBody;
  readonly share: Share;
  /** its client says that this is not the first try */
  readonly isRetry: boolean;
  /** remaining time until the deadline, in milliseconds */
  readonly leftMs: number;
}

/** State of an unclaimed request's job; `taken` carries the number of the pickup. */
type Found = 'waits' | 'finished' | 'lost' | `taken ${string}`;

/** How often finished jobs are removed, in ms, and how many at a time. */
const SWEEP_MS = 5_000;
const SWEPT_AFTER_MS = 50_000;
const SWEEP_COUNT = 10_000;

/** Admit or refuse; enqueue once. A refusal writes nothing. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #queues = new Map<string, Queue<JobV1>>();
  /** reservations of waiting requests, by body: each step makes a new candidate with the same body. `at`: monotonic ms */
  readonly #places = new WeakMap<HeldBody, { readonly place: Place; readonly at: number }>();
  readonly #sweeping: NodeJS.Timeout;
  /** when Redis last refused a request, monotonic ms; infinity: the log already has that it takes requests again */
  #refusedAt = Infinity;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
    defineAddJob(deps.redis);
    this.#sweeping = setInterval(() => this.#quietly(() => this.#sweep()), SWEEP_MS).unref();
  }

  /**
   * @returns the estimated wait in milliseconds, if anything is known
   * @throws Failure `queue_full`, `deadline_exceeded` or `queue_unavailable`
   */
  async enqueue(candidate: Candidate): Promise<number | undefined> {
    let waitMs: number | undefined;
    try {
      waitMs = await this.#reserve(candidate);
      await this.#add(candidate, 1, this.#holdsOpen(candidate));
    } catch (cause) {
      if (isFailure(cause)) throw cause;
      this.#deps.onOutcome('rejected_unavailable');
      void this.withdraw(candidate);
      throw this.#unavailable(cause);
    }
    if (performance.now() - this.#refusedAt > CALM_MS) {
      this.#deps.log.info({}, 'the queue takes requests again');
      this.#refusedAt = Infinity;
    }
    this.#deps.onOutcome('admitted');
    this.#deps.onJobAdded();
    return waitMs;
  }

  /**
   * Adds the job of the next epoch of an accepted request, without another check of the limits.
   * @throws Failure `queue_unavailable`
   */
  async repeat(candidate: Candidate, epoch: number): Promise<void> {
    try {
      await this.#add(candidate, epoch);
    } catch (cause) {
      throw this.#unavailable(cause);
    }
    this.#deps.onJobAdded();
  }

  /**
   * Checks a request that no dispatcher has claimed. Adds its job and body again if they were lost, for example by a
   * restart of Redis.
   * @returns the state of its job; if a dispatcher has it without a known claim, the number of the pickup; `lost`: Redis
   * alone had its body, and lost it
   */
  async reconcile(candidate: Candidate, epoch: number): Promise<Found> {
    const { job } = candidate;
    const id = jobId(job.requestId, epoch);
    const { redis } = this.#deps;
    const queue = this.#queue(job.model, job.kind);
    // From BullMQ's job hash: how often it was taken.
    const [state, pickups, bodies] = await Promise.all([
      queue.getJobState(id),
      redis.hget(queue.toKey(id), 'ats'),
      this.#bodiesOf(job).exists(redisKeys.body(job.model, job.requestId)),
    ]);
    if (state === 'completed' || state === 'failed') return 'finished';
    if (state === 'active' && bodies !== 0) return `taken ${pickups ?? ''}`;
    if (state === 'unknown' || bodies === 0) {
      if (candidate.body.pieces === undefined) return 'lost';
      // A job in no list, for example because Redis evicted the list, would keep its own id from being added.
      if (state === 'unknown') await queue.remove(id);
      await this.#add(candidate, epoch);
      // Logged after success, because a refused attempt is repeated again and again.
      this.#deps.log.info({ requestId: job.requestId, epoch, state, bodies }, 'a waiting request was added again');
    }
    return 'waits';
  }

  /** The engine's request of a claimed job. @returns undefined when it is lost @throws while Redis is away */
  async readBody({ job }: Candidate): Promise<Buffer | undefined> {
    return (await this.#bodiesOf(job).getBuffer(redisKeys.body(job.model, job.requestId))) ?? undefined;
  }

  /** The request was claimed: its reservation is released. */
  claimed(candidate: Candidate): void {
    const { place, at } = this.#places.get(candidate.body) ?? {};
    const waitedMs = at === undefined ? undefined : performance.now() - at;
    const applicant = applicantOf(candidate);
    void this.#quietly(() => this.#deps.reservations.release(applicant, place, waitedMs));
  }

  /** The request ended after it was claimed. */
  finished({ job }: Candidate): void {
    void this.#quietly(() => this.#bodiesOf(job).del(redisKeys.body(job.model, job.requestId)));
  }

  /** The request ended while it waited: its job, body and reservation are removed. */
  async withdraw(candidate: Candidate, epoch = 1): Promise<void> {
    const { job } = candidate;
    const [applicant, place] = [applicantOf(candidate), this.placeOf(candidate.body)];
    void this.#quietly(() => this.#deps.reservations.release(applicant, place));
    this.finished(candidate);
    await this.#quietly(() => this.#queue(job.model, job.kind).remove(jobId(job.requestId, epoch)));
  }

  /** The reservation of a request that was admitted. */
  placeOf(body: HeldBody): Place | undefined {
    return this.#places.get(body)?.place;
  }

  /** Cost units a ms that the ready engines drain, while nothing is measured; 0: unknown. */
  guess(model: string, kind: Kind): number {
    return this.#deps.slots(model, kind) / UNIT_MS;
  }

  /** Jobs that no dispatcher has taken. */
  async depth(model: string, kind: Kind): Promise<number> {
    return this.#queue(model, kind).getJobCountByTypes('waiting', 'prioritized', 'delayed');
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    this.#deps.reservations.close();
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  /** Prepares the queues of a model, so that no request has to wait for it. */
  async open(model: string): Promise<void> {
    await Promise.all(KINDS.map((kind) => this.#queue(model, kind).waitUntilReady()));
  }

  /** The body of a durable answer must survive a restart of Redis, so it is with the queue. */
  #bodiesOf({ durable }: Candidate['job']): RedisClient {
    return durable === undefined ? this.#deps.bodies : this.#deps.redis;
  }

  /** The reservation creates the body's key: both are in the same Redis. */
  #holdsOpen({ job }: Candidate): boolean {
    return this.#bodiesOf(job) === this.#deps.redis;
  }

  /** @param heldOpen the reservation has created the body's key, see `Reservations.reserve` */
  async #add({ job, body, leftMs }: Candidate, epoch: number, heldOpen = false): Promise<void> {
    const { pieces } = body;
    if (pieces === undefined) return;
    const key = redisKeys.body(job.model, job.requestId);
    const stored = setPieces(this.#bodiesOf(job), key, pieces, bodyLifeMs(leftMs), heldOpen);
    // On one connection the body arrives before the job. With a second Redis the job must wait for it.
    if (this.#bodiesOf(job) !== this.#deps.redis) await stored;
    const priority = epoch > 1 ? FIRST : (this.#places.get(body)?.place.priority ?? FIRST);
    const [isStored] = await Promise.all([stored, addJob(this.#deps.redis, { ...job, epoch }, priority)]);
    if (!isStored)
      throw new Error(`a body's key was missing: Redis evicted it, or took longer than ${BODY_WITHIN_MS} ms`);
  }

  /** @returns the estimated wait in milliseconds @throws Failure `queue_full`, `deadline_exceeded` */
  async #reserve(candidate: Candidate): Promise<number | undefined> {
    const { job, keyId, share, body, leftMs } = candidate;
    if (leftMs <= 0) throw new Failure('deadline_exceeded', 'the deadline passed before the request was complete');
    if (this.#deps.lagMs() > LAG_LIMIT_MS) {
      this.#deps.onOutcome('rejected_reply_lag');
      throw new Failure('queue_full', 'this gateway is overloaded; try again', { refusal: 'gateway_busy' });
    }
    const at = performance.now();
    const place = await this.#deps.reservations.reserve(applicantOf(candidate), {
      leftMs,
      lifeMs: Math.max(bodyLifeMs(leftMs), SHARES_MS),
      bodyWithinMs: this.#holdsOpen(candidate) ? BODY_WITHIN_MS : 0,
      guess: this.guess(job.model, job.kind),
    });
    this.#places.set(body, { place, at });
    if (place.verdict === 'ok') return place.waitMs;
    const { outcome, failure } = refusal(place.verdict, place, keyId, share);
    this.#deps.onOutcome(outcome);
    throw failure;
  }

  /** BullMQ removes old jobs only when another one finishes, so they would stay for ever on an idle queue. */
  async #sweep(): Promise<void> {
    for (const queue of this.#queues.values())
      for (const state of ['completed', 'failed'] as const) await queue.clean(SWEPT_AFTER_MS, SWEEP_COUNT, state);
  }

  #queue(model: string, kind: Kind): Queue<JobV1> {
    const name = `${model}/${kind}`;
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = new Queue<JobV1>(kind, { connection: this.#deps.redis, prefix: redisKeys.queuePrefix(model) });
      queue.on('error', (cause) => this.#deps.log.debug({ cause }, 'queue error'));
      this.#queues.set(name, queue);
    }
    return queue;
  }

  /** Work that fails for good does no harm, because reservation and body expire. @returns after the first try */
  async #quietly(work: () => Promise<unknown>, triesLeft = CLEAN_UP_TRIES): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (triesLeft > 1) setTimeout(() => void this.#quietly(work, triesLeft - 1), CLEAN_UP_PAUSE_MS).unref();
      else this.#deps.log.debug({ cause }, 'clean-up left to expiry');
    }
  }

  /** An outage is logged once, not with each request that fails. */
  #unavailable(cause: unknown): Failure {
    if (this.#refusedAt === Infinity) this.#deps.log.warn({ cause }, 'the queue takes no requests');
    this.#refusedAt = performance.now();
    const message = 'the queue takes no requests at the moment; try again';
    return new Failure('queue_unavailable', message);
  }
}

function applicantOf({ job, keyId, body, share, isRetry }: Candidate): Applicant {
  const { model, kind, requestId, path } = job;
  const fingerprint = (): string => {
    const hash = createHash('sha256').update(`${keyId} ${path} `);
    for (const piece of body.pieces ?? []) hash.update(piece);
    return hash.digest('base64url');
  };
  return { model, kind, requestId, keyId, bytes: body.length, share, isRetry, fingerprint };
}

function bodyLifeMs(leftMs: number): number {
  return Math.max(1, Math.ceil(leftMs)) + BODY_GRACE_MS;
}
