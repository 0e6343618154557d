import { DelayedError, UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { Network } from '../images/fetch/picture-host.ts';
import { WebhookEvent } from './due-event.ts';
import { pauseAfter, QUEUE, type Delivery, type EventJob } from './event-queue.ts';
import { KeySlots } from './key-slots.ts';
import { postEvent, Undelivered, type Receiver } from './post-event.ts';

/** Deliveries at a time in one gateway. */
const AT_ONCE = 32;
/** A file of keys reaches all gateways within this many tries, a minute: one that has no webhook yet drops no event. */
const TRIES_WITHOUT_WEBHOOK = 7;
/** A blocking wait in seconds, shorter than the limit for a silent connection of `runtime/redis.ts`. */
const LONGEST_WAIT_S = 2;
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
  readonly redis: Redis;
  readonly network: Network;
  /** where the events of a key go now */
  readonly webhookOf: (keyId: string) => Receiver | undefined;
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
  readonly #slots: KeySlots;

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps;
    this.#slots = new KeySlots(deps.clock);
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

  async #process(job: EventJob, token: string | undefined): Promise<Delivery> {
    const event = WebhookEvent.safeParse(job.data).data;
    if (event === undefined) throw new UnrecoverableError('this release cannot read it');
    const waitMs = this.#slots.enter(event.key);
    if (waitMs !== undefined) {
      await job.moveToDelayed(Date.now() + waitMs, token);
      throw new DelayedError();
    }
    const beganAt = this.#deps.clock();
    try {
      return await this.#deliver(job, event);
    } finally {
      this.#slots.leave(event.key, this.#deps.clock() - beganAt);
    }
  }

  async #deliver(job: EventJob, event: WebhookEvent): Promise<Delivery> {
    const { network, webhookOf, onDelivery, log } = this.#deps;
    const receiver = webhookOf(event.key);
    const about = { eventId: job.id, requestId: event.answer, keyId: event.key, attempt: job.attemptsMade + 1 };
    try {
      if (receiver !== undefined) await postEvent(event, receiver, network);
      else if (job.attemptsMade < TRIES_WITHOUT_WEBHOOK) throw new Undelivered('its key has no webhook');
      const outcome = receiver === undefined ? 'dropped' : 'delivered';
      onDelivery(outcome);
      log.info(about, `webhook event ${outcome}`);
      return outcome;
    } catch (cause) {
      const { message: reason, isFinal } = cause instanceof Undelivered ? cause : new Undelivered('internal');
      const isLast = isFinal || job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
      onDelivery(isLast ? 'given_up' : 'retried');
      if (isLast) log.warn({ ...about, reason }, 'webhook event given up');
      else log.info({ ...about, reason }, 'webhook event not delivered; it is tried again');
      throw isFinal ? new UnrecoverableError(reason) : new Error(reason);
    }
  }
}
