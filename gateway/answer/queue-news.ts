import type { Clock } from '#runtime/clock';
import type { Positions, Standing } from '../queue/queue-position.ts';
import type { Phases } from './notes.ts';
import type { Asked } from './question.ts';

/** Once a stream has begun, its comments say this often how it waits, in ms. */
const TOLD_EVERY_MS = 5_000;
/** Positions are read from so long before the comment that needs one, in ms: the first reading may come a second later. */
const LEAD_MS = 1_250;
/** From then on a client that wants progress gets a comment each second, in ms: most requests wait no longer. */
const FIRST_TOLD_MS = 1_000;

/** What a stream's comments say while its request waits in the queue: its position, and how long it waits. */
export class QueueNews {
  readonly #positions: Positions;
  readonly #asked: Pick<Asked, 'question' | 'wantsProgress'>;
  readonly #phases: Phases;
  readonly #clock: Clock;
  #standing: Standing | undefined;
  #unfollow: (() => void) | undefined;
  #write: (comment: string) => void = () => {};

  constructor(positions: Positions, asked: Pick<Asked, 'question' | 'wantsProgress'>, phases: Phases, clock: Clock) {
    this.#positions = positions;
    this.#asked = asked;
    this.#phases = phases;
    this.#clock = clock;
  }

  /** @param write takes comments that a client wants each second */
  begin(write: (comment: string) => void): void {
    this.#write = write;
  }

  /** silence before the next comment of a stream that has begun, in milliseconds */
  get pauseMs(): number {
    return this.#isWaiting ? TOLD_EVERY_MS : Infinity;
  }

  /**
   * Begins to read the position in time.
   * @param restMs time until the next comment, in milliseconds
   * @returns time until this must be called again, at most `restMs`
   */
  prepare(restMs: number): number {
    if (!this.#isWaiting || this.#unfollow !== undefined) return restMs;
    const soonMs = this.#asked.wantsProgress ? FIRST_TOLD_MS - this.#waitedMs : restMs - LEAD_MS;
    if (soonMs > 0) return Math.min(restMs, soonMs);
    this.#follow();
    return restMs;
  }

  get comment(): string | undefined {
    const standing = this.#isWaiting ? this.#standing : undefined;
    if (standing === undefined) return undefined;
    const { position, etaMs } = standing;
    return `: waiting position=${position}${etaMs === undefined ? '' : ` eta_ms=${etaMs}`}\n\n`;
  }

  /** the wait that is over; empty if it was never in the queue */
  get waited(): string {
    const { enqueuedAt, claimedAt } = this.#phases;
    if (enqueuedAt === undefined || claimedAt === undefined) return '';
    return `: waited queue_ms=${Math.max(0, Math.round(claimedAt - enqueuedAt))}\n\n`;
  }

  /** Reads no more positions. Safe to repeat. */
  end(): void {
    this.#unfollow?.();
    this.#unfollow = undefined;
  }

  /** A request that lost its engine is the next one, so only its first wait counts. */
  get #isWaiting(): boolean {
    return this.#phases.claimedAt === undefined;
  }

  get #waitedMs(): number {
    const { enqueuedAt } = this.#phases;
    return enqueuedAt === undefined ? 0 : this.#clock() - enqueuedAt;
  }

  #follow(): void {
    // It has an id from then on.
    if (this.#phases.enqueuedAt === undefined) return;
    const { question, wantsProgress } = this.#asked;
    this.#unfollow = this.#positions.follow(question, this.#phases.requestId, (standing) => {
      this.#standing = standing;
      const comment = wantsProgress ? this.comment : undefined;
      if (comment !== undefined) this.#write(comment);
      // One reading is enough for the next comment, and each costs Redis and this process time.
      if (!this.#isWaiting || (!wantsProgress && standing !== undefined)) this.end();
    });
  }
}
