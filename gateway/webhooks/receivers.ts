import type { Clock } from '#runtime/clock';
import type { Receiver } from './post-event.ts';

/**
 * A key that has had no webhook for this time, in ms, has none. A mounted key file reaches gateways at different times, so
 * one that knows no webhook yet must drop no event.
 */
const MISSING_MS = 60_000;

/** Where the events of keys go now. */
export class Receivers {
  readonly #webhookOf: (keyId: string) => Receiver | undefined;
  readonly #clock: Clock;
  /** when this gateway first saw a key without a webhook, in monotonic ms */
  readonly #missing = new Map<string, number>();

  constructor(webhookOf: (keyId: string) => Receiver | undefined, clock: Clock) {
    this.#webhookOf = webhookOf;
    this.#clock = clock;
  }

  of(keyId: string): Receiver | undefined {
    const receiver = this.#webhookOf(keyId);
    if (receiver !== undefined) this.#missing.delete(keyId);
    else if (!this.#missing.has(keyId)) this.#missing.set(keyId, this.#clock());
    return receiver;
  }

  /**
   * In how many ms an event is dropped because its key has no webhook; 0: now. Call `of` before.
   * @param ageMs of the event: when its response began, another gateway knew a webhook
   */
  goneInMs(keyId: string, ageMs: number): number {
    const now = this.#clock();
    const missingMs = now - (this.#missing.get(keyId) ?? now);
    return Math.ceil(Math.max(0, MISSING_MS - Math.min(missingMs, ageMs)));
  }
}
