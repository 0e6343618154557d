import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * Length of the first pieces. Even the worst is parsed in 1 to 2 ms, although a host can make an HTTP parser call back
 * for every few bytes. Pieces grow while parsing them is cheap.
 */
const SMALLEST_PIECE_BYTES = 2_048;
const LARGEST_PIECE_BYTES = 16_384;
const CHEAP_MS = 0.5;
/** Time in one run of the event loop for all connections of one pace together, in milliseconds. */
const TURN_MS = 4;

/** Divides a small part of each run of the event loop among connections that have work. */
export class Pace {
  readonly #due = new Set<() => boolean>();
  #isSoon = false;

  /** @param step does a little work and returns whether more remains */
  run(step: () => boolean): void {
    this.#due.add(step);
    if (this.#isSoon) return;
    this.#isSoon = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isSoon = false;
    const until = performance.now() + TURN_MS;
    // A step with more work is added at the end of the set again, so all others come before it.
    for (const step of this.#due) {
      this.#due.delete(step);
      if (step()) this.run(step);
      if (performance.now() >= until) break;
    }
    const [next] = this.#due;
    if (next !== undefined) this.run(next);
  }
}

/** @param passedBytes of the connection so far @returns an error that ends it, or whether it waits for `wake` */
export type Judge = (passedBytes: number) => Error | 'go on' | 'wait';

/**
 * Passes on what a socket receives in small pieces, at a limited pace. However much a host sends, and however costly
 * its bytes are to parse, the event loop is never blocked for long.
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

  /** Continues, because there is something to pass on or the judge may decide otherwise now. */
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
