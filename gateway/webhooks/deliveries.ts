import { DelayedError, UnrecoverableError, Worker } from 'bullmq';
import { redisKeys } from '#contract/redis-keys';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import type { Network } from '../images/fetch/picture-host.ts';
import { eventId, WebhookEvent } from './due-event.ts';
import {
  ageMs,
  LIFE_MS,
  LONGEST_PAUSE_MS,
  pauseAfter,
  QUEUE,
  spread,
  type Delivery,
  type EventJob,
} from './event-queue.ts';
import { AT_ONCE, KeySlots } from './key-slots.ts';
import { postEvent, Undelivered, type Receiver } from './post-event.ts';
import type { Receivers } from './receivers.ts';
import type { WaitingEvents } from './waiting-events.ts';

/** How often the log says that events of a key are given up because too many wait, in ms. */
const TOLD_EACH_MS = 60_000;
/** A blocking wait in seconds, shorter than the limit for a silent connection of `runtime/redis.ts`. */
const LONGEST_WAIT_S = 2;
/** A new event that waits for a slot comes by itself after this, in ms. */
const FIRST_LOOK_MS = 40_000;
/** The events of a gateway that is gone are taken by another within 20 s, however often that happens. */
const OPTIONS = {
  concurrency: AT_ONCE,
  lockDuration: 15_000,
  stalledInterval: 5_000,
  maxStalledCount: 1_000_000,
  drainDelay: LONGEST_WAIT_S,
  runRetryDelay: 1_000,
  settings: { backoffStrategy: pauseAfter },
  autorun: false,
} as const;

/** What became of one delivery. */
export const DELIVERY_OUTCOMES = ['delivered', 'retried', 'given_up', 'dropped'] as const;
export type DeliveryOutcome = (typeof DELIVERY_OUTCOMES)[number];

export interface DeliveriesDeps {
  /** for the worker alone; it waits out an outage */
  readonly redis: RedisClient;
  readonly network: Network;
  readonly receivers: Receivers;
  readonly waiting: WaitingEvents;
  /** Delivers events that wait now. */
  readonly promote: (ids: readonly string[]) => Promise<void>;
  readonly onDelivery: (outcome: DeliveryOutcome) => void;
  readonly clock: Clock;
  readonly log: Log;
}

class ShortWaits extends Worker<WebhookEvent, Delivery> {
  override get maximumBlockTimeout(): number {
    return LONGEST_WAIT_S;
  }
}

/** This gateway's part in delivering events. */
export class Deliveries {
  readonly #deps: DeliveriesDeps;
  readonly #worker: Worker<WebhookEvent, Delivery>;
  readonly #slots = new KeySlots();
  /** when the log last said that too many events of a key wait, in monotonic ms */
  readonly #told = new Map<string, number>();

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps;
    const connection = { connection: deps.redis, prefix: redisKeys.webhooksPrefix() };
    this.#worker = new ShortWaits(QUEUE, (job, token) => this.#process(job, token), { ...OPTIONS, ...connection });
    this.#worker.on('error', (cause) => deps.log.debug({ cause }, 'worker error'));
  }

  start(): void {
    this.#worker.run().catch((cause: unknown) => this.#deps.log.error({ cause }, 'webhook events are not delivered'));
  }

  /** Takes no more events. @returns when those that run are over; other gateways take what this one leaves */
  stop(): Promise<void> {
    return this.#worker.close();
  }

  /** Events may wait for a slot that is free: of a gateway that is gone, or after a pause. */
  async look(): Promise<void> {
    const { waiting, receivers } = this.#deps;
    for (const key of await waiting.keys()) {
      receivers.of(key);
      await this.#release(key, this.#slots.free(key));
    }
  }

  async #process(job: EventJob, token: string | undefined): Promise<Delivery> {
    const event = WebhookEvent.safeParse(job.data).data;
    if (event === undefined) throw new UnrecoverableError('this release cannot read it');
    const { key } = event;
    const receiver = this.#deps.receivers.of(key);
    const goneInMs = receiver === undefined ? this.#deps.receivers.goneInMs(key, ageMs(event)) : undefined;
    if (goneInMs !== undefined && goneInMs > 0) return this.#wait(job, event, token, goneInMs);
    const isOver = ageMs(event) > LIFE_MS;
    if (!isOver && receiver !== undefined)
      return this.#slots.enter(key) ? this.#deliver(job, event, receiver) : this.#wait(job, event, token);
    // The next one that waits is over too.
    this.#release(key, 1).catch(() => {});
    if (isOver) throw await this.#failed(job, event, new Undelivered('its day is over', true));
    return this.#ended(job, event, 'dropped');
  }

  async #deliver(job: EventJob, event: WebhookEvent, receiver: Receiver): Promise<Delivery> {
    const { waiting, network, clock } = this.#deps;
    const { key } = event;
    const beganAt = clock();
    let isDelivered = false;
    try {
      // What remains is taken later, and changes nothing.
      waiting.remove(key, eventId(event.answer)).catch(() => {});
      await postEvent(event, receiver, network);
      isDelivered = true;
      return this.#ended(job, event, 'delivered');
    } catch (cause) {
      throw await this.#failed(job, event, cause);
    } finally {
      this.#release(key, this.#slots.leave(key, clock() - beganAt, isDelivered)).catch(() => {});
    }
  }

  /** @param forMs at least this long, in ms; absent: for a slot @throws DelayedError, which tells BullMQ */
  async #wait(job: EventJob, event: WebhookEvent, token: string | undefined, forMs?: number): Promise<never> {
    const { log } = this.#deps;
    const { key } = event;
    // Without a slot it is taken as soon as there is one. It comes by itself too, soon at first: a gateway that stops may
    // have no time to note that it waits.
    const byItselfMs = job.attemptsStarted === 1 ? FIRST_LOOK_MS : LONGEST_PAUSE_MS;
    await job.moveToDelayed(Date.now() + (forMs ?? spread(byItselfMs)), token);
    const isAdded = await this.#note(job, event, forMs ?? 0);
    if (!isAdded) await this.#refuse(job, key);
    else if (forMs === undefined && this.#slots.free(key) > 0) this.#release(key, 1).catch(() => {});
    else log.info({ eventId: job.id, keyId: key, forMs }, 'webhook event waits, because its key has no webhook');
    throw new DelayedError();
  }

  /** @returns false: too many events of its key wait */
  #note(job: EventJob, event: WebhookEvent, forMs: number): Promise<boolean> {
    const isNew = job.attemptsStarted === 1;
    // Without Redis it comes by itself.
    return this.#deps.waiting.add(event.key, eventId(event.answer), forMs, isNew).catch(() => true);
  }

  /** It is not kept, because so many would remove the outcomes of other keys' events. */
  async #refuse(job: EventJob, keyId: string): Promise<void> {
    const { clock, log, onDelivery } = this.#deps;
    await job.remove();
    onDelivery('given_up');
    const toldAt = this.#told.get(keyId);
    if (toldAt !== undefined && clock() - toldAt < TOLD_EACH_MS) return;
    this.#told.set(keyId, clock());
    log.warn({ keyId }, 'new webhook events given up: too many of this key wait');
  }

  /** Delivers those of a key's events that waited longest. */
  async #release(key: string, count: number): Promise<void> {
    if (count > 0) await this.#deps.promote(await this.#deps.waiting.take(key, count));
  }

  #ended(job: EventJob, event: WebhookEvent, outcome: Delivery): Delivery {
    this.#deps.onDelivery(outcome);
    this.#deps.log.info(about(job, event), `webhook event ${outcome}`);
    return outcome;
  }

  /** @returns what tells BullMQ whether there is another try */
  async #failed(job: EventJob, event: WebhookEvent, cause: unknown): Promise<Error> {
    const { onDelivery, log } = this.#deps;
    const { message, isFinal } = cause instanceof Undelivered ? cause : new Undelivered('internal');
    const isLast = isFinal || job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
    const canWait = isLast || (await this.#note(job, event, 2 * LONGEST_PAUSE_MS));
    const reason = canWait ? message : `${message}, and too many events of its key wait`;
    onDelivery(isLast || !canWait ? 'given_up' : 'retried');
    const said = { ...about(job, event), reason };
    if (isLast || !canWait) log.warn(said, 'webhook event given up');
    else log.info(said, 'webhook event not delivered; it is tried again');
    return isLast || !canWait ? new UnrecoverableError(reason) : new Error(reason);
  }
}

function about({ id, attemptsMade }: EventJob, { answer, key }: WebhookEvent): Record<string, unknown> {
  return { eventId: id, requestId: answer, keyId: key, attempt: attemptsMade + 1 };
}
