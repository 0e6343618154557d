import { randomUUID } from 'node:crypto';
import { Failure } from '../failure.ts';
import { UNCOUNTED, type Allowance } from './body-memory.ts';

const INDEX_DIGITS = 6;

/**
 * The pictures of one request, as bytes of base64. JSON has a marker in place of each until the engine's request is
 * written, so no picture ever becomes a JavaScript string. Markers hold a random id, so that no caller can write one.
 */
export class PictureBytes {
  /** the memory allowance of the request */
  readonly memory: Allowance;
  readonly #id = randomUUID();
  readonly #held: { readonly bytes: Buffer; readonly isChecked: boolean }[] = [];

  constructor(memory: Allowance = UNCOUNTED) {
    this.memory = memory;
  }

  /**
   * @param bytes part of a JSON string, as written there
   * @param isChecked they are base64 that an engine may get
   * @returns its marker: 42 characters that JSON writes unchanged
   */
  hold(bytes: Buffer, isChecked: boolean): string {
    this.#held.push({ bytes, isChecked });
    return this.#id + String(this.#held.length - 1).padStart(INDEX_DIGITS, '0');
  }

  /** @returns the picture of the marker at the end of a text; undefined without a marker */
  find(text: string): Buffer | undefined {
    const at = text.length - this.#id.length - INDEX_DIGITS;
    return at >= 0 && text.startsWith(this.#id, at) ? this.#held[Number(text.slice(-INDEX_DIGITS))]?.bytes : undefined;
  }

  /**
   * @returns JSON in pieces, end to end, with the pictures in their places, not copied
   * @throws Failure `invalid_request` if a picture is in a field that takes none
   */
  join(json: string): readonly Buffer[] {
    const text = Buffer.from(json);
    const pieces: Buffer[] = [];
    let from = 0;
    while (this.#held.length > 0) {
      const at = text.indexOf(this.#id, from);
      if (at < 0) break;
      const end = at + this.#id.length + INDEX_DIGITS;
      const held = this.#held[Number(text.toString('latin1', end - INDEX_DIGITS, end))];
      if (held?.isChecked !== true)
        throw new Failure('invalid_request', 'the body has a data: URI in a field that takes no picture');
      pieces.push(text.subarray(from, at), held.bytes);
      from = end;
    }
    pieces.push(text.subarray(from));
    return pieces;
  }
}
