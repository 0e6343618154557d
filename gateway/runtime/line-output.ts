import { writeSync } from 'node:fs';

const LINE_FEED = 0x0a;
/** Limit for the lines that wait for a slow reader; further lines are dropped. */
const MOST_WAITING_BYTES = 1_048_576;
/** How often a write to a slow reader is tried, in milliseconds. */
const TRY_EVERY_MS = 50;
/** Several processes may write to one pipe. It keeps a write of at most this size in one piece (source: pipe(7), PIPE_BUF). */
export const MOST_AT_ONCE_BYTES = 4_096;
/** How often an ending process tries to write its last lines, every 10 ms. */
const LAST_TRIES = 20;

/** What lines are written to. */
export interface LineTarget {
  /** Called before each write. @returns the descriptor @throws if there is none at the moment; the lines are lost then */
  readonly descriptor: () => number;
  readonly onLost?: (cause: unknown) => void;
}

/**
 * Writes lines without waiting for their reader: a blocked reader costs lines, not requests. The lines of one turn of the
 * event loop share a write.
 */
export class LineOutput {
  readonly #target: LineTarget;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isPlanned = false;
  #isUsed = false;
  /** the last write ended inside a line */
  #isInside = false;
  /** the rest of that line is lost */
  #isTorn = false;
  #dropped = 0;

  constructor(target: LineTarget) {
    this.#target = target;
  }

  /** How many lines were not written, or only in part: the disk is full, or the reader is gone or hangs. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param line with its line feed */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > MOST_WAITING_BYTES) {
      this.#lose(1, new Error('too many lines wait for the reader'));
      return;
    }
    if (!this.#isUsed) {
      this.#isUsed = true;
      process.on('exit', () => this.#writeLast());
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => this.flush()).unref();
  }

  /** Writes what waits, as far as the reader takes it. */
  flush(): void {
    this.#isPlanned = false;
    while (this.#waiting.length > 0) {
      const lines = this.#takeLines();
      try {
        const descriptor = this.#target.descriptor();
        // What follows half a line begins a new one, so that only one line is unreadable.
        if (this.#isTorn) writeSync(descriptor, '\n');
        [this.#isTorn, this.#isInside] = [false, this.#isInside && !this.#isTorn];
        const written = writeSync(descriptor, lines);
        this.#isInside = lines[written - 1] !== LINE_FEED;
        if (written < lines.length) this.#waiting.unshift(lines.subarray(written));
        this.#waitingBytes -= written;
      } catch (error) {
        if (isBehind(error)) {
          this.#waiting.unshift(lines);
          return this.#writeLater();
        }
        this.#waitingBytes -= lines.length;
        this.#isTorn ||= this.#isInside;
        this.#lose(lines.filter((byte) => byte === LINE_FEED).length, error);
      }
    }
  }

  #lose(lines: number, cause: unknown): void {
    this.#dropped += lines;
    this.#target.onLost?.(cause);
  }

  /** As many lines as one write keeps in one piece; at least one. */
  #takeLines(): Buffer {
    let count = 0;
    let bytes = 0;
    for (const line of this.#waiting) {
      if (count > 0 && bytes + line.length > MOST_AT_ONCE_BYTES) break;
      bytes += line.length;
      count += 1;
    }
    return Buffer.concat(this.#waiting.splice(0, count), bytes);
  }

  #writeLater(): void {
    this.#isPlanned = true;
    setTimeout(() => this.flush(), TRY_EVERY_MS).unref();
  }

  #writeLast(): void {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (let tries = 0; this.#waiting.length > 0 && tries < LAST_TRIES; tries += 1) {
      this.flush();
      if (this.#waiting.length > 0) Atomics.wait(pause, 0, 0, 10);
    }
  }
}

function isBehind(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'EAGAIN';
}
