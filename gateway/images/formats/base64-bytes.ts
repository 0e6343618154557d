import { setImmediate as nextTurn } from 'node:timers/promises';
import { PictureProblem } from './picture-problem.ts';

/** Bytes of one decoding while a walk jumps; a multiple of three. */
const WINDOW = 384;
/** Bytes of one decoding while it reads everything. */
export const LARGEST_WINDOW = 64 * WINDOW;
/** Bytes decoded in one run of the event loop, about 2 ms. */
const TURN_BYTES = 8 * LARGEST_WINDOW;
const TURN_PARTS = 4_000;
/** Limit of chunks, segments and blocks of one picture; a GIF of 15 MB has about 60,000. One walk takes under 0.1 s. */
const MOST_PARTS = 200_000;
/** Limit of unpacked texts of one picture; Pillow's MAX_TEXT_MEMORY. */
const MOST_UNPACKED_BYTES = 64 * 1024 * 1024;

/** Reads single bytes of a picture that stays base64, by decoding one window at a time. */
export class Base64Bytes {
  readonly length: number;
  readonly #base64: Buffer;
  readonly #signal: AbortSignal;
  #window: Buffer = Buffer.alloc(0);
  #start = 0;
  #decoded = 0;
  #unpacked = 0;
  #parts = 0;
  /** number of parts at the last rest */
  #rested = 0;

  /** @param base64 its valid characters, of `length` decoded bytes */
  constructor(base64: Buffer, length: number, signal: AbortSignal) {
    this.#base64 = base64;
    this.length = length;
    this.#signal = signal;
  }

  /** One byte; after the end it is 0, so readers must compare with `length`. */
  byte(at: number): number {
    const inside = this.#window[at - this.#start];
    if (inside !== undefined) return inside;
    if (at < 0 || at >= this.length) return 0;
    const ahead = at - (this.#start + this.#window.length);
    const isNear = ahead >= 0 && ahead < WINDOW;
    const size = isNear ? Math.min(this.#window.length * 2 + WINDOW, LARGEST_WINDOW) : WINDOW;
    this.#start = at - (at % 3);
    this.#window = this.#decode(this.#start, this.#start + size);
    return this.#window[at - this.#start] ?? 0;
  }

  uint16(at: number): number {
    return this.byte(at) * 256 + this.byte(at + 1);
  }
  uint32(at: number): number {
    return this.uint16(at) * 65_536 + this.uint16(at + 2);
  }
  /** little-endian, of `size` bytes */
  uintLE(at: number, size: number): number {
    let value = 0;
    for (let index = size - 1; index >= 0; index -= 1) value = value * 256 + this.byte(at + index);
    return value;
  }
  /** a few bytes as characters, one each; fewer at the end */
  text(at: number, size: number): string {
    return this.slice(at, at + size).toString('latin1');
  }
  /** Up to about 64 kB; fewer at the end. */
  slice(start: number, end: number): Buffer {
    this.byte(start);
    const first = start - this.#start;
    const last = Math.min(end, this.length) - this.#start;
    if (first >= 0 && last <= this.#window.length) return this.#window.subarray(first, Math.max(first, last));
    return this.#decode(start, end);
  }
  /** the same for any size, over several runs of the event loop */
  async longSlice(start: number, end: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces(start, end)) pieces.push(piece);
    return Buffer.concat(pieces);
  }
  /** All bytes of a part, one piece after the other, with runs of the event loop for others between them. */
  async *pieces(start: number, end: number): AsyncGenerator<Buffer, void, void> {
    for (let at = start; at < Math.min(end, this.length); at += LARGEST_WINDOW) {
      yield this.slice(at, Math.min(at + LARGEST_WINDOW, end));
      if (this.isTired) await this.rest();
    }
  }

  /** Must be called for every chunk, segment or block. @throws PictureProblem above the limit of parts */
  countPart(): void {
    this.#parts += 1;
    if (this.#parts > MOST_PARTS)
      throw new PictureProblem(`is made of more than ${MOST_PARTS} parts; save it again with an image program`);
  }
  /** Must be called for bytes that were unpacked. @throws PictureProblem above the limit of decoders */
  countUnpacked(bytes: number): void {
    this.#decoded += bytes;
    this.#unpacked += bytes;
    if (this.#unpacked > MOST_UNPACKED_BYTES)
      throw new PictureProblem(`has more than ${MOST_UNPACKED_BYTES} bytes of text; save it again without metadata`);
  }
  /** much was decoded since the last rest: every loop must check it */
  get isTired(): boolean {
    return this.#decoded >= TURN_BYTES || this.#parts - this.#rested >= TURN_PARTS;
  }
  /** Lets other work go on. @throws `signal.reason`, unchanged, if the caller left first */
  async rest(): Promise<void> {
    this.#decoded = 0;
    this.#rested = this.#parts;
    await nextTurn();
    this.#signal.throwIfAborted();
  }

  #decode(start: number, end: number): Buffer {
    const last = Math.min(end, this.length);
    if (start >= last) return Buffer.alloc(0);
    const first = start - (start % 3);
    const characters = this.#base64.toString('latin1', (first / 3) * 4, Math.ceil(last / 3) * 4);
    this.#decoded += last - first;
    return Buffer.from(characters, 'base64').subarray(start - first, last - first);
  }
}
