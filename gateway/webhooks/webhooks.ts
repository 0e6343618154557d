import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { createAddressGuard } from '../images/fetch/address-guard.ts';
import { createNameLookup } from '../images/fetch/name-lookup.ts';
import { Pace } from '../images/fetch/paced-connection.ts';
import { Deliveries, type DeliveriesDeps } from './deliveries.ts';
import { EventQueue, type EventFacts, type EventFilter } from './event-queue.ts';
import type { Receiver } from './post-event.ts';
import { Receivers } from './receivers.ts';
import { WaitingEvents } from './waiting-events.ts';

/** How often due events are looked for, in ms, besides the looks right after an end here. */
const LOOK_MS = 1_000;
/** How often old events are removed, and the waiting ones counted and looked for, in ms. */
const SWEEP_MS = 15_000;

export interface WebhooksDeps extends Pick<DeliveriesDeps, 'onDelivery' | 'clock' | 'log'> {
  readonly queue: RedisClient;
  /** for the worker of deliveries alone */
  readonly deliveries: RedisClient;
  readonly models: readonly string[];
  /** the present keys; without keys there are no webhooks */
  readonly keys: { readonly webhookOf: (keyId: string) => Receiver | undefined } | undefined;
  /** non-public hosts, addresses and ranges (CIDR) that may receive events, on any port, also without TLS */
  readonly webhookAllow: readonly string[];
  /** name servers instead of the machine's */
  readonly nameServers: readonly string[];
  readonly onWaiting: (events: number) => void;
}

/** What operators need of webhooks. */
export type WebhookEvents = Pick<Webhooks, 'list' | 'redeliver'>;

/**
 * Webhook events of background responses that are over. The end of an answer writes its event in the same script; here
 * events move into a queue, and each gateway delivers some.
 */
export class Webhooks {
  readonly #deps: WebhooksDeps;
  readonly #log: Log;
  readonly #events: EventQueue;
  readonly #deliveries: Deliveries | undefined;
  readonly #timers: NodeJS.Timeout[] = [];
  #isDue = false;
  #isLooking = false;

  /** @throws Error for an entry of `webhookAllow` that is no host or range */
  constructor(deps: WebhooksDeps) {
    this.#deps = deps;
    this.#log = deps.log;
    this.#events = new EventQueue(deps.queue, deps.log);
    const { queue, deliveries: redis, keys, onDelivery, clock, log } = deps;
    const network = {
      guard: createAddressGuard(deps.webhookAllow),
      lookup: createNameLookup({ servers: deps.nameServers }),
      pace: new Pace(),
    };
    if (keys === undefined) return;
    this.#deliveries = new Deliveries({
      redis,
      network,
      receivers: new Receivers((keyId) => keys.webhookOf(keyId), clock),
      waiting: new WaitingEvents(queue),
      promote: (ids) => this.#events.promote(ids),
      onDelivery,
      clock,
      log,
    });
  }

  /** A key has a webhook now. */
  isSet(keyId: string): boolean {
    return this.#deps.keys?.webhookOf(keyId) !== undefined;
  }

  start(): void {
    if (this.#deliveries === undefined) return;
    this.#deliveries.start();
    this.#timers.push(setInterval(() => this.look(), LOOK_MS).unref());
    this.#timers.push(setInterval(() => void this.#sweep().catch(() => {}), SWEEP_MS).unref());
  }

  /** Looks for events that are due: one look at a time. */
  look(): void {
    if (this.#deliveries === undefined) return;
    this.#isDue = true;
    if (!this.#isLooking) void this.#move();
  }

  list(filter: EventFilter): Promise<EventFacts[]> {
    return this.#events.list(filter);
  }

  redeliver(id: string): Promise<EventFacts> {
    return this.#events.redeliver(id);
  }

  /** Delivers no more; other gateways go on. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([this.#deliveries?.stop(), this.#events.close()]);
  }

  async #move(): Promise<void> {
    this.#isLooking = true;
    try {
      while (this.#isDue) {
        this.#isDue = false;
        for (const model of this.#deps.models) await this.#events.takeDue(model);
      }
    } catch (cause) {
      this.#log.debug({ cause }, 'webhook events that are due stay so');
    }
    this.#isLooking = false;
  }

  async #sweep(): Promise<void> {
    await this.#events.removeOld();
    this.#deps.onWaiting(await this.#events.waiting());
    await this.#deliveries?.look();
  }
}
