import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * The first pieces are so small that the worst of them is parsed in a millisecond or two: an HTTP parser calls back for every few bytes, if
 * a host likes. They grow while they cost little.
 */
const SMALLEST_PIECE_BYTES = 2_048;
const LARGEST_PIECE_BYTES = 16_384;
const CHEAP_MS = 0.5;
/** Of one turn of the event loop, for all connections of one pace together, in milliseconds. */
const TURN_MS = 4;

/** Shares a little of each turn of the event loop among those who have something to do. */
export class Pace {
  readonly #due = new Set<() => boolean>();
  #isSoon = false;

  /** @param step does a little and says whether it has more to do */
  run(step: () => boolean): void {
    this.#due.add(step);
    if (this.#isSoon) return;
    this.#isSoon = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isSoon = false;
    const until = performance.now() + TURN_MS;
    // Who has more to do stands at the end of the set again, and so comes again after all others.
    for (const step of this.#due) {
      this.#due.delete(step);
      if (step()) this.run(step);
      if (performance.now() >= until) break;
    }
    const [next] = this.#due;
    if (next !== undefined) this.run(next);
  }
}

/** @param passedBytes of the connection so far. @returns why it is to be ended, or whether it is to wait for `wake` */
export type Judge = (passedBytes: number) => Error | 'go on' | 'wait';

/**
 * Passes on what a socket receives in small pieces, at a pace that leaves time to all else: however much a host sends, and whatever its
 * bytes cost to parse, the event loop is never held for long.
 */
export class PacedConnection extends Duplex {
  readonly #socket: Socket;
  readonly #pace: Pace;
  readonly #judge: Judge;
  #passedBytes = 0;
  #pieceBytes = SMALLEST_PIECE_BYTES;

  constructor(socket: Socket, pace: Pace, judge: Judge) {
    super();
    this.#socket = socket;
    this.#pace = pace;
    this.#judge = judge;
    socket.on('readable', () => this.wake());
    socket.once('end', () => this.push(null));
    socket.once('error', (cause) => this.destroy(cause));
    socket.once('close', () => {
      if (!socket.readableEnded) this.destroy();
    });
  }

  /** There is something to pass on, or the judge may think otherwise now. */
  wake(): void {
    this.#pace.run(this.#step);
  }

  readonly #step = (): boolean => {
    if (this.destroyed) return false;
    const verdict = this.#judge(this.#passedBytes);
    if (verdict === 'wait') return false;
    if (verdict !== 'go on') {
      this.destroy(verdict);
      return false;
    }
    const piece: unknown = this.#socket.read(Math.min(this.#pieceBytes, this.#socket.readableLength));
    if (!Buffer.isBuffer(piece)) return false;
    this.#passedBytes += piece.length;
    const startedAt = performance.now();
    const goesOn = this.push(piece);
    const isCheap = performance.now() - startedAt < CHEAP_MS;
    this.#pieceBytes = isCheap ? Math.min(this.#pieceBytes * 2, LARGEST_PIECE_BYTES) : SMALLEST_PIECE_BYTES;
    return goesOn;
  };

  override _read(): void {
    this.wake();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(cause: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(cause);
  }
}
