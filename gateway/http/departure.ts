import type { Server } from 'node:http';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { Failure } from '../failure.ts';
import type { Clock } from '#runtime/clock';

/**
 * `leaving`: served as ever, while balancers learn that they should send nothing more; each answer sends its connection
 * away. `refusing`: time is up, and what still comes is told to go elsewhere.
 */
export type Stage = 'serving' | 'leaving' | 'refusing';

const LOOK_EVERY_MS = 50;
/** Balancers and clients have gone elsewhere when nothing has come for so long; shorter where the delay is. */
const QUIET_MS = 1_000;
/** A connection that came just before the server stopped listening may still bring its request for so long. */
const LATE_MS = 2_000;
/** A client that had begun to send when it alone holds the gateway has this long for the rest. */
const UPLOAD_MS = 2_000;
/** An answer that was ended for want of time has this long to reach its client. */
const LAST_BYTES_MS = 2_000;

export interface DepartureOptions {
  readonly server: Server;
  /** least length of `leaving`, in milliseconds; 0 where no balancer looks */
  readonly delayMs: number;
  /** longest time after it in which requests are served, in milliseconds */
  readonly limitMs: number;
  /** requests that are not whole */
  readonly uploads: { readonly count: number; refuseOlderThan(ageMs: number, failure: Failure): void };
  /** ends the answers that run when time is up */
  readonly endAnswers: () => void;
}

/** How a gateway stops serving without failing a request. */
export class Departure {
  readonly #clock: Clock;
  #stage: Stage = 'serving';
  /** answers that were begun and not handed to the network whole */
  #unfinished = 0;
  /** when a connection or a request came, or an answer ended */
  #busyAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** To be called once, before the server takes connections. */
  watch(server: Server): void {
    const note = (): void => {
      this.#busyAt = this.#clock();
    };
    server.on('connection', note);
    server.on('request', (_req, res) => {
      note();
      this.#unfinished += 1;
      res.once('close', () => {
        // Over a connection from before its client may be sending the next request just now.
        note();
        this.#unfinished -= 1;
      });
    });
  }

  /** @throws Failure `shutting_down` when time is up */
  turnAway(): void {
    if (this.#stage === 'refusing') throw leaving();
  }

  /** Serves until it is quiet or time is up; then nothing of the server is left. */
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
      // While other answers run they hold the gateway anyway, and an upload can still become whole.
      if (this.#unfinished === uploads.count && this.#clock() - delayedUntil >= UPLOAD_MS)
        uploads.refuseOlderThan(UPLOAD_MS, leaving());
    };

    const isQuiet = await this.#wait(limit, () => {
      refuseUploads();
      return this.#clock() >= delayedUntil && this.#isQuiet(quietMs);
    });
    // In the same turn as the look, as the kernel resets what it has not handed over by then.
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

  /** Looks again and again. @returns whether it came to be before `until` */
  async #wait(until: number, isSo: () => boolean): Promise<boolean> {
    for (;;) {
      await pause(LOOK_EVERY_MS);
      // After a turn of the loop a connection that waited in the kernel is here, after two its request is.
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
