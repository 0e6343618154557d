import { isUtf8 } from 'node:buffer';
import { JsonValue } from './json-value.ts';
import { parseJson } from './sse.ts';

/** Lists of an answer that can be long, and say nothing of whether it is whole or what it cost. */
const LEFT_OUT: ReadonlySet<string> = new Set(['logprobs', 'prompt_logprobs', 'tokens', 'token_strs']);
const LONGEST_NAME = 16;
const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c];
const NOTHING = Buffer.from('null');
/** Up to here JSON is parsed as it is. */
export const SHORT_BYTES = 256 * 1024;

/**
 * An engine's answer in JSON without its long lists, put together as its bytes come: to parse 10 MB of log probabilities
 * at its end would hold up all other callers for 100 ms. Where such a list is no JSON, what is kept is none either.
 */
export class AnswerOutline {
  readonly #kept: Buffer[] = [];
  #isText = false;
  #isEscaped = false;
  /** of the last text, unless it is longer than any name looked for */
  #name = '';
  /** the value that is left out; undefined: all is kept */
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

/** @returns what JSON holds, without its long lists where it is long; undefined for what is no JSON in UTF-8 */
export function parseAnswer(bytes: Buffer): unknown {
  if (bytes.length <= SHORT_BYTES) return parseJson(bytes);
  const outline = new AnswerOutline();
  outline.add(bytes);
  return isUtf8(bytes) ? parseJson(outline.bytes()) : undefined;
}
