import { DelayedError, Worker, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Control } from '#contract/control';
import { JobV1, KINDS, LaterJob, WORKER_OPTIONS, type Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { within } from '#runtime/lifecycle';
import type { Log } from '#runtime/log';
import { Attempt, type AttemptDeps } from './attempt.ts';
import type { EngineSlots } from './engine-slots.ts';

/** A job without a free slot is pulled again after this delay, in milliseconds; 0 would be a busy loop. */
const NO_ROOM_DELAY_MS = 200;
/** A retry avoids engines with recent failures for this many pickups, because another dispatcher may have a better one. */
const SPARED_PICKUPS = 10;
/** A job for newer workers returns to the queue with this delay, in milliseconds, this many times; no request takes longer. */
const NEWER_JOB_DELAY_MS = 1_000;
const NEWER_JOB_PICKUPS = 3_600;

export interface DispatcherDeps extends AttemptDeps {
  readonly redis: Redis;
  readonly slots: EngineSlots;
  readonly log: Log;
}

/**
 * BullMQ Workers (a model's text and image queue) ↔ the emptiest ready engine. One Worker per process and queue, never
 * per engine: BZPOPMIN serves the client that waited longest, whatever its load.
 */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #workers = new Map<string, { worker: Worker; model: string; kind: Kind; started: boolean }>();
  /** by job id */
  readonly #attempts = new Map<string, Attempt>();
  #draining = false;
  /** answers cannot be written now */
  #stuck = false;
  #onEmpty: () => void = () => {};

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
  }

  get inFlight(): number {
    return this.#attempts.size;
  }

  /** Call it after every change of the engines: Workers pull as many jobs as the ready engines have slots. */
  async adjust(): Promise<void> {
    if (this.#draining) return;
    for (const model of this.#deps.slots.models()) for (const kind of KINDS) this.#ensureWorker(model, kind);
    for (const entry of this.#workers.values()) {
      const { worker, model, kind } = entry;
      const room = this.#stuck ? 0 : this.#deps.slots.room(model, kind);
      if (room === 0) {
        if (entry.started) await worker.pause(true);
        continue;
      }
      const raised = room > worker.concurrency;
      worker.concurrency = room;
      if (!entry.started) {
        entry.started = true;
        worker.run().catch((cause: unknown) => this.#deps.log.error({ cause }, 'a worker loop ended'));
      } else {
        // A full main loop notices a raised concurrency only after a wake-up.
        if (raised) await worker.pause(true);
        if (worker.isPaused()) await worker.resume();
      }
    }
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
    for (const attempt of this.#attempts.values()) if (attempt.job.replica === replica) attempt.cancel();
  }

  /** The replica reads its replies too late, or has caught up. */
  replicaBehind(replica: string, behind: boolean): void {
    for (const attempt of this.#attempts.values()) if (attempt.job.replica === replica) attempt.holdBack(behind);
  }

  /**
   * Stops pulling and waits for the attempts in flight.
   * @param settleMs time limit for marking jobs as finished in Redis, which may be down
   */
  async drain(settleMs: number): Promise<void> {
    this.#draining = true;
    const workers = [...this.#workers.values()];
    await Promise.all(workers.map(({ worker }) => worker.pause(true)));
    if (this.#attempts.size > 0)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    await within(settleMs, Promise.all(workers.map(({ worker }) => worker.close())));
  }

  /** Ends all attempts immediately and reports it to their replicas. */
  abandon(message: string): void {
    this.#draining = true;
    for (const attempt of this.#attempts.values()) attempt.fail('worker_lost', message);
  }

  #ensureWorker(model: string, kind: Kind): void {
    const key = `${model}/${kind}`;
    if (this.#workers.has(key)) return;
    const worker = new Worker(kind, (job, token) => this.#process(job, token ?? ''), {
      ...WORKER_OPTIONS,
      connection: this.#deps.redis,
      prefix: redisKeys.queuePrefix(model),
      autorun: false,
    });
    worker.on('error', (cause) => this.#deps.log.debug({ cause }, 'worker error'));
    worker.on('lockRenewalFailed', (jobIds: string[]) => {
      // Another worker may get the job, so this one must stop.
      for (const id of jobIds) this.#attempts.get(id)?.fail('worker_lost', 'the lock of the job was lost');
    });
    this.#workers.set(key, { worker, model, kind, started: false });
  }

  async #process(bullJob: Job, lockToken: string): Promise<void> {
    const { slots, log } = this.#deps;
    const parsed = JobV1.safeParse(bullJob.data);
    if (!parsed.success) {
      const isNewer = LaterJob.safeParse(bullJob.data).success && bullJob.attemptsStarted < NEWER_JOB_PICKUPS;
      if (isNewer) return this.#handBack(bullJob, lockToken, NEWER_JOB_DELAY_MS);
      throw new Error(`this worker cannot read the job: ${parsed.error.message}`);
    }
    const job = parsed.data;
    const spared = job.epoch > 1 && bullJob.attemptsStarted <= SPARED_PICKUPS;
    const slot = this.#draining || this.#stuck ? undefined : slots.take(job.model, job.kind, spared);
    if (slot === undefined) return this.#handBack(bullJob, lockToken);
    const id = bullJob.id ?? '';
    const attempt = new Attempt(this.#deps, job, { epoch: job.epoch, attempt: bullJob.attemptsStarted }, slot);
    this.#attempts.set(id, attempt);
    try {
      const outcome = await attempt.run();
      log.debug({ requestId: job.requestId, ...attempt.token, engine: slot.engine, outcome }, 'attempt ended');
      if (outcome === 'hand_back') await this.#handBack(bullJob, lockToken);
    } finally {
      this.#attempts.delete(id);
      slot.release();
      if (this.#attempts.size === 0) this.#onEmpty();
    }
  }

  /** `moveToDelayed` wakes a Worker; `moveToWait` of a job with a priority wakes none for seconds. */
  async #handBack(bullJob: Job, lockToken: string, delayMs = NO_ROOM_DELAY_MS): Promise<never> {
    await bullJob.moveToDelayed(Date.now() + delayMs, lockToken);
    throw new DelayedError();
  }
}
