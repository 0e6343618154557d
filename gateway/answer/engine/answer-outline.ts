import { isUtf8 } from 'node:buffer';
import { JsonValue } from './json-value.ts';
import { parseJson } from './sse.ts';

/** Lists of an answer that can be long, and that affect neither its completeness nor its cost. */
const LEFT_OUT: ReadonlySet<string> = new Set(['logprobs', 'prompt_logprobs', 'tokens', 'token_strs']);
const LONGEST_NAME = 16;
const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c];
const NOTHING = Buffer.from('null');
/** JSON up to this length is parsed as it is. */
export const SHORT_BYTES = 256 * 1024;

/**
 * An engine's JSON answer without its long lists, built while its bytes arrive. To parse 10 MB of log probabilities at
 * its end would delay all other callers for 100 ms. If such a list is invalid JSON, so is the outline.
 */
export class AnswerOutline {
  readonly #kept: Buffer[] = [];
  #isText = false;
  #isEscaped = false;
  /** the last string, unless it is longer than all names in `LEFT_OUT` */
  #name = '';
  /** the value that is being left out; undefined: everything is kept */
  #leftOut: JsonValue | undefined;

  /** @param piece the next bytes of the answer */
  add(piece: Buffer): void {
    let from = 0;
    for (let at = 0; at < piece.length; at += 1) {
      if (this.#leftOut !== undefined) {
        at = this.#leftOut.read(piece, at);
        from = at;
        if (at === piece.length) break;
        this.#leftOut = undefined;
      }
      const byte = piece[at] ?? 0;
      if (this.#isText) this.#inText(byte);
      else if (byte === QUOTE) {
        this.#isText = true;
        this.#name = '';
      } else if (byte === COLON && LEFT_OUT.has(this.#name)) {
        this.#kept.push(piece.subarray(from, at + 1), NOTHING);
        from = piece.length;
        this.#leftOut = new JsonValue();
      }
    }
    if (from < piece.length) this.#kept.push(piece.subarray(from));
  }

  bytes(): Buffer {
    return Buffer.concat(this.#kept);
  }

  #inText(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) this.#isText = false;
    else if (this.#name.length < LONGEST_NAME) this.#name += String.fromCharCode(byte);
  }
}

/** @returns the JSON value, without its long lists if it is long; undefined for invalid JSON or UTF-8 */
export function parseAnswer(bytes: Buffer): unknown {
  if (bytes.length <= SHORT_BYTES) return parseJson(bytes);
  const outline = new AnswerOutline();
  outline.add(bytes);
  return isUtf8(bytes) ? parseJson(outline.bytes()) : undefined;
}
