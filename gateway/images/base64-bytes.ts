import { setImmediate as nextTurn } from 'node:timers/promises';

/** Decoded in one go, in bytes; a multiple of three. */
const WINDOW = 768;
/** Decoded before others get their turn. */
const TURN_BYTES = 256 * WINDOW;

/** Reads single bytes of a picture that stays base64: a window of it is decoded at a time. */
export class Base64Bytes {
  readonly length: number;
  readonly #base64: string;
  readonly #signal: AbortSignal;
  #window: Buffer = Buffer.alloc(0);
  #start = 0;
  #decoded = 0;

  /** @param base64 known to be sound, of `length` decoded bytes */
  constructor(base64: string, length: number, signal: AbortSignal) {
    this.#base64 = base64;
    this.length = length;
    this.#signal = signal;
  }

  /** One byte; past the end 0, so that whoever reads on must compare with `length`. */
  byte(at: number): number {
    const inside = this.#window[at - this.#start];
    if (inside !== undefined) return inside;
    if (at < 0 || at >= this.length) return 0;
    this.#start = Math.floor(at / WINDOW) * WINDOW;
    const characters = this.#base64.slice((this.#start / 3) * 4, ((this.#start + WINDOW) / 3) * 4);
    this.#window = Buffer.from(characters, 'base64');
    this.#decoded += WINDOW;
    return this.#window[at - this.#start] ?? 0;
  }

  uint16(at: number): number {
    return this.byte(at) * 256 + this.byte(at + 1);
  }
  uint32(at: number): number {
    return this.uint16(at) * 65_536 + this.uint16(at + 2);
  }

  /** much was decoded since the last rest: to be asked in every loop */
  get isTired(): boolean {
    return this.#decoded >= TURN_BYTES;
  }
  /** Lets others go on. @throws `signal.reason`, unchanged, when the caller gave up first */
  async rest(): Promise<void> {
    this.#decoded = 0;
    await nextTurn();
    this.#signal.throwIfAborted();
  }
}
