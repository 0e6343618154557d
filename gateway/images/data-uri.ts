import { setImmediate as nextTurn } from 'node:timers/promises';
import { Failure } from '../failure.ts';

/** The form that every refusal of a malformed picture quotes. */
export const DATA_URI_FORM = 'data:image/png;base64,… in standard base64, without line breaks, padded with =';

/** Valid base64; the picture itself stays undecoded. */
export interface Base64Text {
  /** its characters */
  readonly base64: Buffer;
  /** decoded length */
  readonly bytes: number;
}

/** Characters checked in one run of the event loop, about 0.3 ms: 20 MB in one run would delay every other stream. */
const SLICE = 512 * 1024;
/** Bytes encoded in one run of the event loop; a multiple of three. */
const ENCODED_SLICE = 768 * 1024;
const LONGEST_HEAD = 256;
const [PAD, COMMA] = [0x3d, 0x2c];

/** 0 for the characters of the alphabet, 1 for all others. */
const OUTSIDE = new Uint8Array(256).fill(1);
for (const character of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'))
  OUTSIDE[character] = 0;
/** The same for two bytes at a time. */
const EITHER_OUTSIDE = Uint8Array.from({ length: 65_536 }, (_, pair) => isOutside(pair & 255) | isOutside(pair >> 8));

/**
 * Splits the part after `data:` of a URI, and checks every character, because vLLM's decoder also refuses any character
 * outside the alphabet. Line breaks and the URL-safe alphabet are refused, not repaired. The media type is ignored; the
 * bytes decide.
 * @param param its path in the caller's body
 * @throws Failure `invalid_image` with the right form; it never quotes the text
 */
export async function parseDataUri(uri: Buffer, param: string, signal: AbortSignal): Promise<Base64Text> {
  const comma = uri.subarray(0, LONGEST_HEAD).indexOf(COMMA);
  if (comma === -1 || !/;base64$/i.test(uri.toString('latin1', 0, comma))) throw malformed('is not base64 data', param);
  return checkBase64(uri.subarray(comma + 1), param, signal);
}

/** Checks base64 without a URI in the same way. */
export async function checkBase64(base64: Buffer, param: string, signal: AbortSignal): Promise<Base64Text> {
  const padding = base64.at(-1) !== PAD ? 0 : base64.at(-2) !== PAD ? 1 : 2;
  const end = base64.length - padding;
  for (let at = 0; at < end; at += SLICE) {
    if (at > 0) await nextTurn();
    signal.throwIfAborted();
    const slice = base64.subarray(at, Math.min(at + SLICE, end));
    if (isInAlphabet(slice)) continue;
    const wrong = at + slice.findIndex((byte) => OUTSIDE[byte] === 1);
    throw malformed(problemOf(base64.toString('latin1', wrong, wrong + 3)), param);
  }
  if (base64.length % 4 !== 0 || end === 0) throw malformed('has base64 that is cut short or not padded', param);
  return { base64, bytes: (base64.length / 4) * 3 - padding };
}

/** @param bytes length before encoding */
export function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

/** Encodes a fetched picture, one piece per run of the event loop. */
export async function encodeBase64(picture: Buffer): Promise<Base64Text> {
  const base64 = Buffer.allocUnsafeSlow(base64Length(picture.length));
  let to = 0;
  for (let at = 0; at < picture.length; at += ENCODED_SLICE) {
    if (at > 0) await nextTurn();
    to += base64.write(picture.toString('base64', at, at + ENCODED_SLICE), to, 'latin1');
  }
  return { base64, bytes: picture.length };
}

/** Four bytes a step, twice as fast as single bytes. */
function isInAlphabet(text: Buffer): boolean {
  const before = Math.min(text.length, -text.byteOffset & 3);
  const count = (text.length - before) >> 2;
  // A text that ends before its first full word has none, and its offset might not be a multiple of four.
  const words = new Uint32Array(text.buffer, count === 0 ? 0 : text.byteOffset + before, count);
  let outside = 0;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? 0;
    outside |= areOutside(word & 65_535) | areOutside(word >>> 16);
  }
  for (let at = 0; at < before; at += 1) outside |= isOutside(text[at]);
  for (let at = before + words.byteLength; at < text.length; at += 1) outside |= isOutside(text[at]);
  return outside === 0;
}

function areOutside(pair: number): number {
  return EITHER_OUTSIDE[pair] ?? 1;
}

function isOutside(byte: number | undefined): number {
  return OUTSIDE[byte ?? 0] ?? 1;
}

/** @param wrong the first character outside base64, and two more: padding may come before white space */
function problemOf(wrong: string): string {
  const space = /^={0,2}(\s)/.exec(wrong)?.[1];
  if (space === '\n' || space === '\r') return 'has white space in its base64: a line break';
  if (space !== undefined) return 'has white space in its base64';
  if (/^[-_]/.test(wrong)) return 'has base64 in the URL-safe alphabet';
  return 'has base64 with an invalid character';
}

function malformed(problem: string, param: string): Failure {
  return new Failure('invalid_image', `${param} ${problem}; expected ${DATA_URI_FORM}`, { param });
}
