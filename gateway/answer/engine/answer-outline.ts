/** Lists of an answer that can be long, and say nothing of whether it is whole or what it cost. */
const LEFT_OUT: ReadonlySet<string> = new Set(['logprobs', 'prompt_logprobs', 'tokens', 'token_strs']);
const LONGEST_NAME = 16;
const [QUOTE, COMMA, COLON, BACKSLASH, LIST, LIST_END, OBJECT, OBJECT_END] = [
  0x22, 0x2c, 0x3a, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d,
];
const NOTHING = Buffer.from('null');

/**
 * An engine's answer in JSON without its long lists, put together as its bytes come: to parse 10 MB of log probabilities
 * at its end would hold up all other callers for 100 ms.
 */
export class AnswerOutline {
  readonly #kept: Buffer[] = [];
  #isText = false;
  #isEscaped = false;
  /** of the last text, unless it is longer than any name looked for */
  #name = '';
  /** lists and objects of a value that is left out, inside each other; undefined: all is kept */
  #depth: number | undefined;

  /** @param piece the next bytes of the answer */
  add(piece: Buffer): void {
    let from = this.#depth === undefined ? 0 : piece.length;
    for (let at = 0; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      if (this.#isText) this.#inText(byte);
      else if (byte === QUOTE) {
        this.#isText = true;
        this.#name = '';
      } else if (this.#depth === undefined) {
        if (byte !== COLON || !LEFT_OUT.has(this.#name)) continue;
        this.#kept.push(piece.subarray(from, at + 1), NOTHING);
        from = piece.length;
        this.#depth = 0;
      } else if (this.#depth === 0 && (byte === COMMA || byte === OBJECT_END)) {
        this.#depth = undefined;
        from = at;
      } else if (byte === LIST || byte === OBJECT) this.#depth += 1;
      else if (byte === LIST_END || byte === OBJECT_END) this.#depth -= 1;
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
    else if (this.#depth === undefined && this.#name.length < LONGEST_NAME) this.#name += String.fromCharCode(byte);
  }
}
