import { setImmediate as nextTurn } from 'node:timers/promises';

/** Bytes read in one run of the event loop, at most 2 ms. */
const SLICE = 256 * 1024;
const [BACKSLASH, SLASH, LETTER_U, ZERO] = [0x5c, 0x2f, 0x75, 0x30];
/** White space is no base64, but is kept so that the error can name it. */
const SPACES: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

/**
 * Undoes in place, in pieces, what JSON writers do to base64: PHP writes `\/` for a slash, .NET and Gson `\u002B` and
 * `\u003d`. All other escapes stay, and are then found not to be base64.
 * @param text of JSON, between its quotes
 * @returns the remaining part of it
 * @throws `signal.reason`, unchanged, if the caller left first
 */
export async function withoutEscapes(text: Buffer, signal: AbortSignal): Promise<Buffer> {
  let from = text.indexOf(BACKSLASH);
  if (from === -1) return text;
  let to = from;
  while (from < text.length) {
    const rest = Math.min(from + SLICE, text.length);
    for (; from < rest; to += 1) {
      const byte = text[from] ?? 0;
      const next = byte === BACKSLASH ? text[from + 1] : undefined;
      const plain = next === SLASH ? SLASH : SPACES.get(next ?? 0);
      const code = next === LETTER_U ? codeAt(text, from + 2) : undefined;
      text[to] = plain ?? code ?? byte;
      from += plain !== undefined ? 2 : code !== undefined ? 6 : 1;
    }
    await nextTurn();
    signal.throwIfAborted();
  }
  return text.subarray(0, to);
}

/** @returns the ASCII character of four hexadecimal digits; undefined for anything else */
function codeAt(text: Buffer, at: number): number | undefined {
  if (text[at] !== ZERO || text[at + 1] !== ZERO) return undefined;
  const [high, low] = [digit(text[at + 2]), digit(text[at + 3])];
  const code = high * 16 + low;
  return high < 8 && low < 16 ? code : undefined;
}

/** @returns 16 if it is no hexadecimal digit */
function digit(byte = 0): number {
  const letter = byte | 0x20;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : 16;
}
