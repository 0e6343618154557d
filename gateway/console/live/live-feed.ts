import type { LiveRequest, LiveView } from '#contract/console';
import { isLiveView } from '../data.ts';
import { OTHER_VERSION, type Gateway } from '../gateway.ts';
import { parseJson } from '../read-json.ts';
import { localRefusal, type Refusal } from '../refusal.ts';
import { eventsOf } from '../server-events.ts';
import { Watched } from '../watched.ts';

/** `LIVE_REQUESTS` of the contract, whose values the build leaves out with zod. */
export const MOST_REQUESTS = 200;
/** Characters of one event. */
const MOST_EVENT = 4_000_000;
/** A try to connect again waits twice as long as the one before, in milliseconds. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** A connection that is silent for longer, in milliseconds, is given up: without news the gateway sends a comment every 15 s. */
const SILENT_MS = 25_000;

export interface LiveState {
  readonly view: LiveView | undefined;
  /** newest first */
  readonly requests: readonly LiveRequest[];
  /** `performance.now()` when the connection last brought something; what it brought by then is true */
  readonly seenAt: number | undefined;
  readonly isOpen: boolean;
  readonly refusal: Refusal | undefined;
}

const NOTHING: LiveState = { view: undefined, requests: [], seenAt: undefined, isOpen: false, refusal: undefined };

/** @param failures tries without an event before this one */
export function pauseMs(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10));
}

/** Puts the requests of an event before the earlier ones. Another gateway has others, and each request counts once. */
export function withRequests(
  { view, requests }: Pick<LiveState, 'view' | 'requests'>,
  next: LiveView,
): readonly LiveRequest[] {
  const earlier = view === undefined || view.replica === next.replica ? requests : [];
  const ids = new Set(next.requests.map(identity));
  return [...next.requests, ...earlier.filter((one) => !ids.has(identity(one)))].slice(0, MOST_REQUESTS);
}

/** A caller may use a request id again. */
export function identity({ requestId, endedAt }: LiveRequest): string {
  return `${requestId} ${endedAt}`;
}

/** Follows what an operator sees, as long as a view wants it. */
export class LiveFeed {
  readonly state = new Watched(NOTHING);
  readonly #gateway: Gateway;
  #running: AbortController | undefined;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#running = new AbortController();
    void this.#follow(this.#running.signal);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }

  forget(): void {
    this.stop();
    this.state.set(NOTHING);
  }

  async #follow(stop: AbortSignal): Promise<void> {
    for (let failures = 0; !stop.aborted; failures += 1) {
      const before = this.state.value.seenAt;
      await this.#connect(stop);
      // A key without the scope gets it no sooner by asking again.
      if (stop.aborted || isFinal(this.state.value.refusal)) return;
      if (this.state.value.seenAt !== before) failures = 0;
      await pause(pauseMs(failures), stop);
    }
  }

  async #connect(stop: AbortSignal): Promise<void> {
    const silent = new AbortController();
    const either = AbortSignal.any([stop, silent.signal]);
    let watch = setTimeout(() => silent.abort(), SILENT_MS);
    try {
      const opened = await this.#gateway.open('/console/live', { signal: either });
      if (!opened.ok) {
        if (!stop.aborted) this.#set({ refusal: opened.refusal });
        return;
      }
      for await (const event of eventsOf(opened.value, MOST_EVENT)) {
        clearTimeout(watch);
        watch = setTimeout(() => silent.abort(), SILENT_MS);
        if ('data' in event) this.#take(parseJson(event.data));
        else this.#set({ seenAt: performance.now() });
      }
    } catch {
      // The connection broke, or fell silent: the next try says more.
    } finally {
      clearTimeout(watch);
      this.#set({ isOpen: false });
    }
  }

  #take(value: unknown): void {
    if (!isLiveView(value)) return this.#set({ refusal: localRefusal(OTHER_VERSION) });
    const requests = withRequests(this.state.value, value);
    this.#set({ view: value, requests, seenAt: performance.now(), isOpen: true, refusal: undefined });
  }

  #set(changed: Partial<LiveState>): void {
    this.state.set({ ...this.state.value, ...changed });
  }
}

function isFinal(refusal: Refusal | undefined): boolean {
  return refusal !== undefined && (refusal.status === 401 || refusal.status === 403);
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
