import { frameBytes, writeFrame, type Frame } from '#contract/frame';

/** Bytes of one stream entry, so that a large answer does not delay other requests' tokens. */
const ENTRY_LIMIT_BYTES = 1024 * 1024;
const FIRST_BYTES = 16 * 1024;
/** A buffer of this length, or a shorter one, is used again. */
const KEPT_BYTES = 256 * 1024;

/** Frames end to end, as one stream entry holds them. */
export interface Entry {
  readonly bytes: Buffer;
  readonly frames: number;
}

interface Filling {
  buffer: Buffer;
  length: number;
  frames: number;
}

/**
 * The frames that wait for one replica, copied end to end when they arrive. So a frame needs no object until it is
 * written, and its sender may use its bytes again.
 */
export class PendingEntries {
  #entries: Filling[] = [];
  #bytes = 0;
  #spare: Buffer | undefined;

  /** bytes of all frames */
  get bytes(): number {
    return this.#bytes;
  }
  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }
  /** An entry is full: further frames go into the next one. */
  get hasFull(): boolean {
    return this.#entries.length > 1;
  }

  add(frame: Frame): void {
    const bytes = frameBytes(frame);
    let entry = this.#entries.at(-1);
    if (entry === undefined || entry.length + bytes > ENTRY_LIMIT_BYTES) {
      entry = { buffer: this.#spare ?? Buffer.allocUnsafeSlow(FIRST_BYTES), length: 0, frames: 0 };
      this.#spare = undefined;
      this.#entries.push(entry);
    }
    if (entry.length + bytes > entry.buffer.length) grow(entry, bytes);
    entry.length = writeFrame(frame, entry.buffer, entry.length);
    entry.frames += 1;
    this.#bytes += bytes;
  }

  /** Takes the oldest frames, as many as fit one entry. */
  take(): Entry | undefined {
    const entry = this.#entries.shift();
    if (entry === undefined) return undefined;
    this.#bytes -= entry.length;
    return { bytes: entry.buffer.subarray(0, entry.length), frames: entry.frames };
  }

  /** A taken entry was written, and nothing reads its bytes any more. */
  written({ bytes }: Entry): void {
    if (bytes.buffer.byteLength <= KEPT_BYTES) this.#spare = Buffer.from(bytes.buffer);
  }

  clear(): void {
    this.#entries = [];
    this.#bytes = 0;
  }
}

function grow(entry: Filling, bytes: number): void {
  const grown = Buffer.allocUnsafeSlow(Math.max(entry.buffer.length * 2, entry.length + bytes));
  entry.buffer.copy(grown, 0, 0, entry.length);
  entry.buffer = grown;
}
