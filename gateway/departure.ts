import type { Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { Failure } from '#contract/failure';
import type { Clock } from '#runtime/clock';

/**
 * `leaving`: served as ever, while balancers learn that they should send nothing more; each answer sends its connection
 * away. `draining`: only what runs, and what comes on connections from before, is served.
 */
export type Stage = 'serving' | 'leaving' | 'draining';

/** A client that got its answer over an old connection may be sending the next request just now. */
const QUIET_MS = 1_000;
/** A client that had begun to send when the gateway began to drain has this long for the rest. */
const UPLOAD_MS = 2_000;
/** An answer that was ended for want of time has this long to reach its client. */
const LAST_BYTES_MS = 2_000;

const LEAVING = 'this gateway is shutting down; try again';

export interface DepartureTimes {
  /** length of `leaving`, in milliseconds; 0 where no balancer looks */
  readonly delayMs: number;
  /** longest `draining`, in milliseconds */
  readonly limitMs: number;
  /** requests that are not whole */
  readonly uploads: { refuseOlderThan(ageMs: number, failure: Failure): void };
}

/** How a gateway stops serving without failing a request: in stages, and connection by connection. */
export class Departure {
  readonly #clock: Clock;
  readonly #late = new WeakSet<object>();
  #stage: Stage = 'serving';
  /** answers that were begun and not handed to the network whole */
  #unfinished = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** To be called once, before the server takes connections. */
  watch(server: Server): void {
    server.on('connection', (socket) => {
      if (this.#stage === 'draining') this.#late.add(socket);
    });
    server.on('request', (_req, res) => {
      this.#unfinished += 1;
      res.once('close', () => {
        this.#unfinished -= 1;
      });
    });
  }

  /**
   * Sends a request elsewhere. A connection that came before `draining` began may carry a stream whose headers could not
   * say `connection: close` yet: its client knows of nothing and is served once more.
   * @throws Failure `shutting_down`
   */
  turnAway(socket: object): void {
    if (this.#late.has(socket)) throw new Failure('shutting_down', LEAVING, { retryAfterSeconds: 1 });
  }

  /** Goes through the stages. @returns when no answer is unfinished, or time is up */
  async run({ delayMs, limitMs, uploads }: DepartureTimes): Promise<void> {
    this.#stage = 'leaving';
    await pause(delayMs);
    this.#stage = 'draining';
    const drainsAt = this.#clock();
    const until = drainsAt + limitMs;
    const quietMs = Math.min(QUIET_MS, delayMs);
    let quietSince = this.#clock();
    while (this.#clock() < until && (this.#unfinished > 0 || this.#clock() - quietSince < quietMs)) {
      await pause(50);
      if (this.#clock() - drainsAt >= UPLOAD_MS)
        uploads.refuseOlderThan(UPLOAD_MS, new Failure('shutting_down', LEAVING, { retryAfterSeconds: 1 }));
      if (this.#unfinished > 0) quietSince = this.#clock();
    }
  }
}

/** Closes a server whose clients were told to go; who reads no more is cut off after a while. */
export async function closeServer(server: Server): Promise<void> {
  const closing = setInterval(() => server.closeIdleConnections(), 100);
  const patience = setTimeout(() => server.closeAllConnections(), LAST_BYTES_MS);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(closing);
  clearTimeout(patience);
}
