import { Queue, type Job } from 'bullmq';
import { redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { Failure } from '../failure.ts';
import { eventId, readDueEvent, WebhookEvent } from './due-event.ts';

/** Name of the queue in BullMQ. */
export const QUEUE = 'deliveries';
/** Pauses between the tries of an event, in ms: each is twice the one before, up to an hour. */
const FIRST_PAUSE_MS = 1_000;
export const LONGEST_PAUSE_MS = 3_600_000;
/** With these pauses the last try is a day after the first. */
const TRIES = 36;
/** An event that is older, in ms, is tried no more. */
export const LIFE_MS = 86_400_000;
/** How long the outcome of an event stays, in ms, and how many of each. */
const DELIVERED_KEPT_MS = 86_400_000;
const GIVEN_UP_KEPT_MS = 7 * 86_400_000;
const MOST_KEPT = 10_000;
const MOVED_AT_ONCE = 100;
const EVENT_ID = /^evt_[\w-]+$/;
/** Most events in a list. */
const LISTED_AT_MOST = 1_000;
const READ_AT_ONCE = 1_000;

/** States of an event. `dropped`: its key has no webhook any more. */
export const EVENT_STATES = ['waiting', 'retrying', 'delivered', 'dropped', 'given_up'] as const;
type EventState = (typeof EVENT_STATES)[number];
/** How a delivery that did not fail ended. */
export type Delivery = Extract<EventState, 'delivered' | 'dropped'>;
export type EventJob = Job<WebhookEvent, Delivery>;

/** What operators may know of an event. */
export interface EventFacts extends Omit<WebhookEvent, 'again'> {
  readonly id: string;
  readonly state: EventState;
  readonly attempts: number;
  /** why the last try failed; absent once it is delivered */
  readonly reason?: string;
}

/** Which events are listed. */
export interface EventFilter {
  readonly key?: string | undefined;
  readonly state?: EventState | undefined;
}

/** By clocks of several machines, because a day and a minute need no better. */
export function ageMs({ created, again = created }: WebhookEvent): number {
  return Date.now() - again * 1_000;
}

/** A pause in ms that varies, so that events of one receiver do not all come together. */
export function spread(pauseMs: number): number {
  return Math.round(pauseMs * (0.75 + Math.random() / 2));
}

/** The pause after a failed try, in ms. */
export function pauseAfter(tries: number): number {
  return spread(Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS));
}

/** The events of all models on their way to their receivers: one queue for all gateways, in the first Redis. */
export class EventQueue {
  readonly #redis: RedisClient;
  readonly #queue: Queue<WebhookEvent, Delivery>;
  readonly #log: Log;

  constructor(redis: RedisClient, log: Log) {
    this.#redis = redis;
    this.#log = log;
    this.#queue = new Queue(QUEUE, {
      connection: redis,
      prefix: redisKeys.webhooksPrefix(),
      // No program reads them.
      streams: { events: { maxLen: 100 } },
    });
    this.#queue.on('error', (cause) => log.debug({ cause }, 'queue error'));
  }

  /** Moves the due events of a model into the queue. Safe to repeat: the id of a job is that of its event. */
  async takeDue(model: string): Promise<void> {
    const key = redisKeys.webhooksDue(model);
    for (;;) {
      const found = await this.#redis.zrange(key, '0', String(MOVED_AT_ONCE - 1), 'WITHSCORES');
      const members = found.filter((_, at) => at % 2 === 0);
      if (members.length === 0) return;
      const events = members.map((member, at) => readDueEvent(member, Number(found[at * 2 + 1])));
      if (events.includes(undefined)) this.#log.error({ model }, 'a webhook event that is due cannot be read');
      await this.#add(events.filter((event) => event !== undefined));
      await this.#redis.zrem(key, ...members);
      if (members.length < MOVED_AT_ONCE) return;
    }
  }

  async #add(events: readonly WebhookEvent[]): Promise<void> {
    await this.#queue.addBulk(
      events.map((data) => ({
        name: data.type,
        data,
        opts: {
          jobId: eventId(data.answer),
          attempts: TRIES,
          backoff: { type: 'doubled' },
          stackTraceLimit: 0,
          removeOnComplete: { age: DELIVERED_KEPT_MS / 1_000, count: MOST_KEPT },
          removeOnFail: { age: GIVEN_UP_KEPT_MS / 1_000, count: MOST_KEPT },
        },
      })),
    );
  }

  /** Events whose delivery is not over. */
  waiting(): Promise<number> {
    return this.#queue.getJobCountByTypes('waiting', 'active', 'delayed');
  }

  /** BullMQ removes old jobs only when another one ends. */
  async removeOld(): Promise<void> {
    await this.#queue.clean(DELIVERED_KEPT_MS, MOST_KEPT, 'completed');
    await this.#queue.clean(GIVEN_UP_KEPT_MS, MOST_KEPT, 'failed');
  }

  /** The newest events first, a thousand at most. Reads all, because BullMQ orders none by age. @throws while Redis is away */
  async list({ key, state }: EventFilter): Promise<EventFacts[]> {
    const isAsked = (one: EventFacts): boolean =>
      (key === undefined || one.key === key) && (state === undefined || one.state === state);
    let newest: EventFacts[] = [];
    for (const kind of ['waiting', 'active', 'delayed', 'completed', 'failed'] as const)
      for (let from = 0; ; from += READ_AT_ONCE) {
        const jobs = await this.#queue.getJobs([kind], from, from + READ_AT_ONCE - 1);
        if (jobs.length === 0) break;
        const asked = jobs.flatMap((job) => factsOf(job, kind) ?? []).filter(isAsked);
        // An event that moves while it is read can be read twice.
        const byId = new Map([...newest, ...asked].map((one) => [one.id, one]));
        newest = [...byId.values()].toSorted((a, b) => b.created - a.created).slice(0, LISTED_AT_MOST);
      }
    return newest;
  }

  /** Delivers an event as soon as its key has a slot, also one that is over. @throws Failure `answer_not_found` */
  async redeliver(id: string): Promise<EventFacts> {
    // Other names are keys of BullMQ.
    const job = EVENT_ID.test(id) ? await this.#queue.getJob(id) : undefined;
    const state = await job?.getState();
    await job?.updateData({ ...job.data, again: Math.floor(Date.now() / 1_000) });
    if (state === 'completed' || state === 'failed') await job?.retry(state, { resetAttemptsMade: true });
    else if (state === 'delayed') await job?.promote();
    const facts = factsOf(job, 'waiting');
    if (facts !== undefined) return facts;
    throw new Failure('answer_not_found', `no webhook event ${JSON.stringify(id.slice(0, 100))} is kept`);
  }

  /** Delivers events that wait now. One that does not wait any more stays as it is. */
  async promote(ids: readonly string[]): Promise<void> {
    const waiting = ids.map(async (id) => (await this.#queue.getJob(id))?.promote().catch(() => {}));
    await Promise.all(waiting);
  }

  close(): Promise<void> {
    return this.#queue.close();
  }
}

/** @param kind state of its job @returns undefined: it was removed, or cannot be read */
function factsOf(job: EventJob | undefined, kind: string | undefined): EventFacts | undefined {
  const { data } = WebhookEvent.omit({ again: true }).safeParse(job?.data);
  if (job === undefined || data === undefined) return undefined;
  const { attemptsMade: attempts, failedReason: reason } = job;
  const ended: EventState | undefined =
    kind === 'failed' ? 'given_up' : kind === 'completed' ? job.returnvalue : undefined;
  const state = ended ?? (attempts > 0 ? 'retrying' : 'waiting');
  return { id: eventId(data.answer), ...data, state, attempts, ...(reason && state !== 'delivered' ? { reason } : {}) };
}
