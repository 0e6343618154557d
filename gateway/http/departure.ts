import type { Server } from 'node:http';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { Failure } from '../failure.ts';
import type { Clock } from '#runtime/clock';

/**
 * `leaving`: requests are served as before, while balancers learn to send no more; each answer closes its connection.
 * `refusing`: the time is up, and new requests are refused.
 */
export type Stage = 'serving' | 'leaving' | 'refusing';

const LOOK_EVERY_MS = 50;
/** If nothing has arrived for this long, balancers and clients have left; it is shorter if the delay is. */
const QUIET_MS = 1_000;
/** How long a connection from just before the server stopped listening may take to send its request. */
const LATE_MS = 2_000;
/** Timeout of an unfinished upload when nothing else holds the gateway. */
const UPLOAD_MS = 2_000;
/** Time for the last bytes of an answer that was ended because the time is up. */
const LAST_BYTES_MS = 2_000;

export interface DepartureOptions {
  readonly server: Server;
  /** shortest length of `leaving`, in milliseconds; 0 without a balancer */
  readonly delayMs: number;
  /** longest time after it in which requests are served, in milliseconds */
  readonly limitMs: number;
  /** requests whose body is incomplete */
  readonly uploads: { readonly count: number; refuseOlderThan(ageMs: number, failure: Failure): void };
  /** ends the running answers when the time is up */
  readonly endAnswers: () => void;
}

/** Lets a gateway stop without a failed request. */
export class Departure {
  readonly #clock: Clock;
  #stage: Stage = 'serving';
  /** answers that have begun and were not completely passed to the network */
  #unfinished = 0;
  /** when a connection or request last arrived, or an answer ended */
  #busyAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** Call it once, before the server takes connections. */
  watch(server: Server): void {
    const note = (): void => {
      this.#busyAt = this.#clock();
    };
    server.on('connection', note);
    server.on('request', (_req, res) => {
      note();
      this.#unfinished += 1;
      res.once('close', () => {
        // Its client may be sending the next request on the same connection now.
        note();
        this.#unfinished -= 1;
      });
    });
  }

  /** @throws Failure `shutting_down` if the time is up */
  turnAway(): void {
    if (this.#stage === 'refusing') throw leaving();
  }

  /** Serves until no request arrives any more or the time is up; then closes the server and all its connections. */
  async run({ server, delayMs, limitMs, uploads, endAnswers }: DepartureOptions): Promise<void> {
    this.#stage = 'leaving';
    const delayedUntil = this.#clock() + delayMs;
    const limit = delayedUntil + limitMs;
    const quietMs = Math.max(LOOK_EVERY_MS, Math.min(QUIET_MS, delayMs));
    const closed = new Promise<void>((resolve) => server.once('close', resolve));
    let isClosed = false;
    void closed.then(() => {
      isClosed = true;
    });
    const refuseUploads = (): void => {
      // Running answers hold the gateway anyway, and an upload can still complete during this time.
      if (this.#unfinished === uploads.count && this.#clock() - delayedUntil >= UPLOAD_MS)
        uploads.refuseOlderThan(UPLOAD_MS, leaving());
    };

    const isQuiet = await this.#wait(limit, () => {
      refuseUploads();
      return this.#clock() >= delayedUntil && this.#isQuiet(quietMs);
    });
    // In the same run of the event loop as the check, because the kernel resets connections that it has not handed over
    // by then.
    if (isQuiet) server.close();
    const isEmpty =
      isQuiet &&
      (await this.#wait(limit, () => {
        refuseUploads();
        server.closeIdleConnections();
        return isClosed || this.#isQuiet(LATE_MS);
      }));
    if (!isEmpty) {
      this.#stage = 'refusing';
      endAnswers();
      uploads.refuseOlderThan(0, leaving());
      const last = this.#clock() + LAST_BYTES_MS;
      await this.#wait(last, () => this.#isQuiet(LOOK_EVERY_MS));
      server.close();
      await this.#wait(last, () => {
        server.closeIdleConnections();
        return isClosed;
      });
    }
    server.closeAllConnections();
    await closed;
  }

  #isQuiet(forMs: number): boolean {
    return this.#unfinished === 0 && this.#clock() - this.#busyAt >= forMs;
  }

  /** Checks repeatedly. @returns whether the condition was met before `until` */
  async #wait(until: number, isSo: () => boolean): Promise<boolean> {
    for (;;) {
      await pause(LOOK_EVERY_MS);
      // After one run of the event loop, connections from the kernel have arrived; after two, their requests have.
      await turn();
      await turn();
      if (isSo()) return true;
      if (this.#clock() >= until) return false;
    }
  }
}

function leaving(): Failure {
  return new Failure('shutting_down', 'this gateway is shutting down; try again');
}
