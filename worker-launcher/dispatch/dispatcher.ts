import type { Control } from '#contract/control';
import { JobV1, KINDS, LaterJob, sameToken, type Kind, type Token } from '#contract/job';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import type { Tracing } from '#runtime/tracing';
import { Attempt, type AttemptDeps, type AttemptOutcome } from './attempt.ts';
import { AttemptSpans } from './attempt-spans.ts';
import type { EngineSlots } from './engine-slots.ts';
import { JobQueue, type JobEnd, type TakenJob } from './job-queue.ts';
import type { LeftBodies } from './left-bodies.ts';
import { UsageBook } from './usage-book.ts';

/** A job without a free slot is pulled again after this delay, in milliseconds; 0 would be a busy loop. */
const NO_ROOM_DELAY_MS = 200;
/** A retry avoids engines with recent failures for this many pickups, because another dispatcher may have a better one. */
const SPARED_PICKUPS = 10;
/** A job for newer workers returns to the queue with this delay, in milliseconds, this many times; no request takes longer. */
const NEWER_JOB_DELAY_MS = 1_000;
const NEWER_JOB_PICKUPS = 3_600;

const DONE: JobEnd = { kind: 'done' };

export interface DispatcherDeps extends AttemptDeps {
  readonly redis: RedisClient;
  /** opens a connection that blocks */
  readonly connectBlocking: () => RedisClient;
  readonly incarnation: string;
  readonly slots: EngineSlots;
  readonly leftBodies: Pick<LeftBodies, 'add'>;
  /** absent: no attempt is traced */
  readonly tracing?: Tracing | undefined;
  readonly log: Log;
}

/**
 * A model's text and image queue ↔ the emptiest ready engine. One reader per process and queue, never per engine: BZPOPMIN
 * serves the client that waited longest, whatever its load. So a dispatcher passes jobs on while another has an emptier engine.
 */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #usage: UsageBook;
  readonly #queues = new Map<string, JobQueue>();
  /** by job id */
  readonly #attempts = new Map<string, Attempt>();
  #draining = false;
  /** answers cannot be written now */
  #stuck = false;
  #onEmpty: () => void = () => {};

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#usage = new UsageBook(deps.redis, deps.log);
  }

  get inFlight(): number {
    return this.#attempts.size;
  }

  /** Call it after every change of the engines: each queue is asked for as many jobs as the ready engines have slots. */
  adjust(): void {
    if (this.#draining) return;
    for (const model of this.#deps.slots.models()) for (const kind of KINDS) this.#ensureQueue(model, kind);
    for (const queue of this.#queues.values()) queue.wake();
  }

  /**
   * Answers cannot be written, or can be again. While they cannot, no job is pulled, and jobs that no engine has yet return.
   * @returns whether that changed; then call `adjust`
   */
  stuck(isStuck: boolean): boolean {
    const isNews = isStuck !== this.#stuck;
    this.#stuck = isStuck;
    if (isStuck) for (const attempt of this.#attempts.values()) attempt.handBack();
    return isNews;
  }

  /** Handles a control message of a gateway. */
  control(message: Control): void {
    for (const attempt of this.#attempts.values()) {
      const { job, token } = attempt;
      if (job.requestId !== message.requestId || token.epoch !== message.epoch) continue;
      if (message.attempt !== undefined && token.attempt !== message.attempt) continue;
      if (message.type === 'go') attempt.go();
      else attempt.cancel();
    }
  }

  /** This engine answers no request. */
  relieve(engine: string, stuckMs: number): void {
    for (const attempt of this.#attempts.values()) attempt.relieve(engine, stuckMs);
  }

  /** The replica's lease expired: no gateway reads its answers. */
  replicaGone(replica: string): void {
    for (const attempt of this.#live(replica)) attempt.cancel();
  }

  /** The replica reads its replies too late, or has caught up. */
  replicaBehind(replica: string, behind: boolean): void {
    for (const attempt of this.#live(replica)) attempt.holdBack(behind);
  }

  /** The log of a durable answer takes nothing more of this attempt. */
  superseded({ requestId }: JobV1, token: Token): void {
    for (const attempt of this.#attempts.values())
      if (attempt.job.requestId === requestId && sameToken(attempt.token, token)) attempt.cancel();
  }

  /** Durable answers of a model arrive faster than they can be written, or no longer do. */
  logsFull(model: string, isFull: boolean): void {
    for (const attempt of this.#attempts.values())
      if (attempt.job.durable !== undefined && attempt.job.model === model) attempt.holdBack(isFull);
  }

  /**
   * Stops pulling and waits for the attempts in flight.
   * @param settleMs time limit for marking jobs as finished in Redis, which may be down
   */
  async drain(settleMs: number): Promise<void> {
    this.#draining = true;
    const queues = [...this.#queues.values()];
    for (const queue of queues) queue.stop();
    if (this.#attempts.size > 0)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    await Promise.all(queues.map((queue) => queue.close(settleMs)));
  }

  /** Ends all attempts immediately and reports it to their replicas. */
  abandon(message: string): void {
    this.#draining = true;
    for (const attempt of this.#attempts.values()) attempt.fail('worker_lost', message);
  }

  /** Attempts whose answers end with this replica. */
  #live(replica: string): Attempt[] {
    return [...this.#attempts.values()].filter(({ job }) => job.durable === undefined && job.replica === replica);
  }

  #ensureQueue(model: string, kind: Kind): void {
    const key = `${model}/${kind}`;
    if (this.#queues.has(key)) return;
    const { redis, connectBlocking, incarnation, slots, log } = this.#deps;
    const queue = new JobQueue({
      redis,
      blocking: connectBlocking(),
      model,
      kind,
      room: () => (this.#stuck || this.#draining ? 0 : slots.room(model, kind)),
      engines: () => slots.ready(model),
      loads: (most) => slots.loads(model, kind, this.#stuck || this.#draining ? 0 : most),
      incarnation,
      process: (job) => this.#process(job),
      onLockLost: (id) => this.#attempts.get(id)?.lockLost(),
      log,
    });
    this.#queues.set(key, queue);
  }

  /** @throws Error for a job that no worker can read */
  async #process({ id, data, pickup }: TakenJob): Promise<JobEnd> {
    const { slots, log, tracing } = this.#deps;
    const parsed = JobV1.safeParse(data);
    if (!parsed.success) {
      const isNewer = LaterJob.safeParse(data).success && pickup < NEWER_JOB_PICKUPS;
      if (isNewer) return { kind: 'back', delayMs: NEWER_JOB_DELAY_MS };
      throw new Error(`this worker cannot read the job: ${parsed.error.message}`);
    }
    const job = parsed.data;
    // A fail-over of Redis put the job back, and it runs here.
    if (job.durable !== undefined && this.#attempts.has(id)) return DONE;
    const spared = job.epoch > 1 && pickup <= SPARED_PICKUPS;
    const slot = this.#draining || this.#stuck ? undefined : slots.take(job.model, job.kind, spared);
    if (slot === undefined) return { kind: 'back', delayMs: NO_ROOM_DELAY_MS };
    const token = { epoch: job.epoch, attempt: pickup };
    const spans = tracing === undefined ? undefined : new AttemptSpans(tracing, job, token, slot);
    const attempt = new Attempt(this.#deps, job, token, slot, spans);
    this.#attempts.set(id, attempt);
    const takenAt = wallClock();
    let outcome: AttemptOutcome = 'failed';
    try {
      outcome = await attempt.run();
      const held = { engine: slot.engine, takenAt, releasedAt: wallClock() };
      log.debug({ requestId: job.requestId, ...attempt.token, ...held, outcome }, 'attempt ended');
      return outcome === 'hand_back' ? { kind: 'back', delayMs: NO_ROOM_DELAY_MS } : DONE;
    } finally {
      this.#attempts.delete(id);
      slot.release();
      if (job.durable === undefined) this.#deps.leftBodies.add(job);
      const isOver = outcome === 'answered';
      const used = attempt.used(isOver);
      // In the run of the event loop that writes its last frame, so that a killed process does not leave one alone.
      this.#usage.book(job, attempt.token, used, isOver);
      attempt.trace(outcome, used);
      if (this.#attempts.size === 0) this.#onEmpty();
    }
  }
}

/** Milliseconds since 1970, with fractions, so that the log of several dispatchers shows which engine was emptiest. */
function wallClock(): number {
  return performance.timeOrigin + performance.now();
}
