import { Job, Worker } from 'bullmq';
import { z } from 'zod';
import { JOB_OPTIONS, WORKER_OPTIONS, type Kind } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { within } from '#runtime/lifecycle';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import type { Loads } from './engine-slots.ts';
import { defineJobScripts } from './job-scripts.ts';

/** Pause after a failed command, in milliseconds. */
const RETRY_MS = 1_000;
/** Shortest blocking wait, in milliseconds: Redis takes 0 as for ever. */
const SHORTEST_WAIT_MS = 1;
/** Longer than a living dispatcher needs to take a job that was passed to it, in milliseconds. */
const PASSED_MS = 20;
/** What `penstockTake` says of the jobs that wait. */
const MORE_WAIT = 1;
const PASSED = 2;

/** A job that this dispatcher holds the lock of. */
export interface TakenJob {
  readonly id: string;
  /** as its gateway wrote it; undefined: lost, or no JSON */
  readonly data: unknown;
  /** how often it was taken */
  readonly pickup: number;
}

/** How the work on a job ended: done, or back to the queue after this many milliseconds. */
export type JobEnd = { readonly kind: 'done' } | { readonly kind: 'back'; readonly delayMs: number };

export interface JobQueueDeps {
  readonly redis: RedisClient;
  /** for the blocking wait alone */
  readonly blocking: RedisClient;
  readonly model: string;
  readonly kind: Kind;
  /** slots of the ready engines, taken or free */
  readonly room: () => number;
  /** number of ready engines */
  readonly engines: () => number;
  /** how busy the emptiest engine is before each of the next `most` jobs, and what one job adds to that */
  readonly loads: (most: number) => Loads;
  /** prefix of the locks; no other dispatcher has it */
  readonly incarnation: string;
  /** @throws Error for a job that no worker can read: it is noted as failed */
  readonly process: (job: TakenJob) => Promise<JobEnd>;
  /** another dispatcher has this long to take a job that was passed to it, in milliseconds */
  readonly passedMs?: number;
  /** another dispatcher may get this job */
  readonly onLockLost: (id: string) => void;
  readonly log: Log;
}

const Pulled = z.array(z.union([z.string(), z.number()]));

/**
 * The dispatcher's end of one BullMQ queue: takes as many jobs as there are free slots, starts each immediately, renews their
 * locks, and notes their ends. BullMQ's own Worker pulls one job per round trip and starts none before it has pulled all;
 * here it only brings back jobs whose lock has lapsed.
 */
export class JobQueue {
  readonly #deps: JobQueueDeps;
  readonly #worker: Worker;
  readonly #prefix: string;
  readonly #renewing: NodeJS.Timeout;
  /** token of the lock, by job id */
  readonly #locks = new Map<string, string>();
  #running = 0;
  #pulls = 0;
  #ended: [id: string, token: string][] = [];
  #noting: Promise<void> | undefined;
  #isClosed = false;
  #onRoom: () => void = () => {};

  constructor(deps: JobQueueDeps) {
    this.#deps = deps;
    const { redis, model, kind, log } = deps;
    defineJobScripts(redis);
    const prefix = redisKeys.queuePrefix(model);
    this.#prefix = `${prefix}:${kind}:`;
    this.#worker = new Worker(kind, null, { ...WORKER_OPTIONS, connection: redis, prefix, autorun: false });
    this.#worker.on('error', (cause) => log.debug({ cause }, 'worker error'));
    this.#worker.startStalledCheckTimer().catch((cause: unknown) => log.debug({ cause }, 'no check for lapsed locks'));
    this.#renewing = setInterval(() => void this.#renew(), WORKER_OPTIONS.lockDuration / 2).unref();
    void this.#pull();
  }

  /** Call it when slots or engines have changed. */
  wake(): void {
    this.#onRoom();
  }

  /** Takes no more jobs. Those that run go on. */
  stop(): void {
    this.#isClosed = true;
    this.#deps.blocking.disconnect();
    this.wake();
  }

  /** Ends after all jobs have ended. @param limitMs time limit for the last notes in Redis, which may be down */
  async close(limitMs: number): Promise<void> {
    this.stop();
    clearInterval(this.#renewing);
    await within(limitMs, Promise.all([this.#noting, this.#worker.close()]));
  }

  get #free(): number {
    return this.#deps.room() - this.#running;
  }

  async #pull(): Promise<void> {
    let hasPassed = false;
    while (!this.#isClosed) {
      try {
        if (this.#free <= 0) await this.#moreRoom();
        else {
          const { rest, nextAt } = await this.#take(this.#free, hasPassed);
          hasPassed = rest === PASSED;
          if (hasPassed) await this.#passedTime();
          else if (rest !== MORE_WAIT) await this.#waitForJob(nextAt);
        }
      } catch (cause) {
        if (this.#isClosed) return;
        this.#deps.log.debug({ cause }, 'no jobs could be taken');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #moreRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  #passedTime(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#deps.passedMs ?? PASSED_MS).unref());
  }

  /** @param hasPassed jobs were passed to other dispatchers, which had the time to take them */
  async #take(free: number, hasPassed: boolean): Promise<{ rest: number; nextAt: number }> {
    const { redis, incarnation, model, kind } = this.#deps;
    const engines = Math.max(1, this.#deps.engines());
    const { levels, step } = this.#deps.loads(engines + 1);
    this.#pulls += 1;
    const token = `${incarnation}:${this.#pulls}`;
    const [rest, nextAt, ...fields] = await redis.penstockTake(
      ...['prioritized', 'active', 'wait', 'delayed', 'marker', 'pc', 'meta'].map((name) => this.#prefix + name),
      redisKeys.loads(model, kind),
      this.#prefix,
      Date.now(),
      free,
      engines,
      token,
      WORKER_OPTIONS.lockDuration,
      incarnation,
      hasPassed ? 1 : 0,
      step,
      ...levels,
    );
    const pulled = Pulled.parse(fields);
    for (let at = 0; at < pulled.length; at += 3)
      void this.#run(
        { id: String(pulled[at]), data: parsed(String(pulled[at + 1])), pickup: Number(pulled[at + 2]) },
        token,
      );
    return { rest, nextAt };
  }

  /** BullMQ's marker is set while jobs wait. The dispatcher that waited longest gets it. */
  async #waitForJob(nextAt: number): Promise<void> {
    const longestMs = WORKER_OPTIONS.drainDelay * 1_000;
    const waitMs = nextAt === 0 ? longestMs : Math.min(longestMs, nextAt - Date.now());
    const marker = `${this.#prefix}marker`;
    const popped = await this.#deps.blocking.bzpopmin(marker, Math.max(SHORTEST_WAIT_MS, waitMs) / 1_000);
    // Engines may have left during this wait: the job is for another dispatcher.
    if (popped !== null && this.#free <= 0) await this.#deps.redis.zadd(marker, 0, '0');
  }

  async #run(job: TakenJob, token: string): Promise<void> {
    const { process, log } = this.#deps;
    this.#running += 1;
    this.#locks.set(job.id, token);
    try {
      const end = await process(job);
      if (end.kind === 'done') this.#note(job.id, token);
      else await this.#handBack(job.id, token, end.delayMs);
    } catch (cause) {
      await this.#fail(job.id, token, cause).catch((error: unknown) =>
        log.debug({ cause: error }, 'a job was not noted'),
      );
    } finally {
      if (this.#locks.get(job.id) === token) this.#locks.delete(job.id);
      this.#running -= 1;
      this.wake();
    }
  }

  /** Notes the jobs that end in one turn of the event loop together. */
  #note(id: string, token: string): void {
    this.#ended.push([id, token]);
    this.#noting ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#noteAll());
  }

  async #noteAll(): Promise<void> {
    this.#noting = undefined;
    const ended = this.#ended;
    this.#ended = [];
    const { redis, log, model, kind, incarnation, loads } = this.#deps;
    const { age, count } = JOB_OPTIONS.removeOnComplete;
    const keys = [
      ...['completed', 'active', 'stalled'].map((name) => this.#prefix + name),
      redisKeys.loads(model, kind),
    ];
    const [load = ''] = loads(1).levels;
    const kept = [age * 1_000, count];
    try {
      await redis.penstockFinish(...keys, this.#prefix, Date.now(), ...kept, incarnation, load, ...ended.flat());
    } catch (cause) {
      // Its gateway refuses another pickup of an answered job, so the lock may lapse.
      log.debug({ cause }, 'jobs were not noted as completed');
    }
  }

  async #handBack(id: string, token: string, delayMs: number): Promise<void> {
    const job = await Job.fromId(this.#worker, id);
    await job?.moveToDelayed(Date.now() + delayMs, token);
  }

  async #fail(id: string, token: string, cause: unknown): Promise<void> {
    const job = await Job.fromId(this.#worker, id);
    await job?.moveToFailed(cause instanceof Error ? cause : new Error(String(cause)), token, false);
  }

  async #renew(): Promise<void> {
    if (this.#locks.size === 0) return;
    const [ids, tokens] = [[...this.#locks.keys()], [...this.#locks.values()]];
    try {
      const lost = await this.#worker.extendJobLocks(ids, tokens, WORKER_OPTIONS.lockDuration);
      for (const id of lost) if (this.#locks.has(id)) this.#deps.onLockLost(id);
    } catch (cause) {
      this.#deps.log.debug({ cause }, 'locks were not renewed');
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
