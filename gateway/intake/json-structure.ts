import { isUtf8 } from 'node:buffer';
import { Failure } from '../failure.ts';
import type { PictureBytes } from './picture-bytes.ts';

/** Limits of a JSON body besides its pictures. To parse a larger body would delay all other callers. */
export interface StructureLimits {
  /** bytes outside pictures */
  readonly bytes: number;
  /** nesting of lists and objects */
  readonly depth: number;
  /** elements of all lists and objects together */
  readonly values: number;
  /** all strings, names of fields included */
  readonly texts: number;
}

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c];
const [LIST, LIST_END, OBJECT, OBJECT_END] = [0x5b, 0x5d, 0x7b, 0x7d];
const BYTE_ORDER_MARK = Buffer.from('\uFEFF');
/** A shorter picture is cheap as a string. */
const LEAST_PICTURE_BYTES = 4_096;
const SCHEME = 'data:';
/** A parameter in quotes is looked for only in this many bytes of a data: URI. */
const LONGEST_HEAD = 256;
/** Names of fields that carry a picture as a URI. */
const PICTURE_FIELDS = ['url', 'image_url'].map((name) => Buffer.from(name));
/** The field that carries base64 without a URI in Anthropic's API. */
const BASE64_FIELD = Buffer.from('data');
/** How PNG, JPEG, WebP and GIF begin in base64. */
const BEGINNINGS = ['iVBORw0KGgo', '/9j/', 'UklGR', 'R0lGOD'];
const LONGEST_BEGINNING = 11;

/**
 * Parses a JSON body after one pass over its bytes, which finds its depth, its elements and its pictures. A picture is
 * a `data:` URI of at least 4 kB in a field named `url` or `image_url`. In a field named `data` it is base64 of that
 * length that begins as a picture does. The base64, and everything after `data:` of a URI, is held back as bytes.
 * @param isChecked the pictures are known to be base64, as in a request for an engine
 * @throws Failure `invalid_json`; `body_too_large` if the bytes outside pictures are too many
 */
export function parseBody(bytes: Buffer, limits: StructureLimits, pictures: PictureBytes, isChecked = false): unknown {
  const start = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
  const spans = findPictures(bytes, start, limits);
  let text = '';
  let from = start;
  for (const span of spans) {
    text += textOf(bytes.subarray(from, span.from)) + pictures.hold(bytes.subarray(span.from, span.end), isChecked);
    from = span.end;
  }
  text += textOf(bytes.subarray(from));
  try {
    return withExactSeed(JSON.parse(text), text);
  } catch {
    // The parser's own message quotes the body, which must not leave this function.
    throw notJson();
  }
}

/**
 * Keeps a seed exact: JSON.parse rounds above 53 bits, but engines take a `seed` of 64 bits.
 * @returns the body; if its seed would be rounded, it becomes the string as written, which engines read alike
 */
function withExactSeed(body: unknown, text: string): unknown {
  if (typeof body !== 'object' || body === null || !('seed' in body)) return body;
  const { seed } = body;
  if (typeof seed !== 'number' || Number.isSafeInteger(seed)) return body;
  const written = [...text.matchAll(/"seed"\s*:\s*(-?\d+)(?=\s*[,}])/g)].map(([, digits = '']) => digits);
  const [exact, ...others] = new Set(written.filter((digits) => Number(digits) === seed));
  return exact === undefined || others.length > 0 ? body : { ...body, seed: exact };
}

/** Bytes from `from` up to the quote at `end`. */
interface Span {
  readonly from: number;
  readonly end: number;
}

function findPictures(bytes: Buffer, start: number, limits: StructureLimits): readonly Span[] {
  const spans: Span[] = [];
  let [depth, values, texts] = [0, 0, 0];
  /** the position at which the bytes outside pictures become too many */
  let most = start + limits.bytes;
  let [nameFrom, nameTo, isNamed] = [0, 0, false];
  for (let at = start; at < bytes.length; at += 1) {
    if (at >= most) throw tooLarge(limits.bytes);
    switch (bytes[at]) {
      case QUOTE: {
        texts += 1;
        if (texts > limits.texts) throw tooMany('texts, names of fields included', limits.texts);
        const from = at + 1;
        const span = isNamed ? pictureAt(bytes, from, bytes.subarray(nameFrom, nameTo)) : undefined;
        if (span !== undefined) {
          spans.push(span);
          most += span.end - from;
        }
        at = span?.end ?? endOfText(bytes, from, most);
        [nameFrom, nameTo, isNamed] = [from, at, false];
        break;
      }
      case COLON:
        isNamed = true;
        break;
      case LIST:
      case OBJECT:
        depth += 1;
        if (depth > limits.depth)
          throw new Failure('invalid_json', `the body is nested deeper than ${limits.depth} levels`);
        values += 1;
        isNamed = false;
        break;
      case COMMA:
        values += 1;
        if (values > limits.values) throw tooMany('values', limits.values);
        isNamed = false;
        break;
      case LIST_END:
      case OBJECT_END:
        depth -= 1;
        break;
      default:
    }
  }
  if (bytes.length > most) throw tooLarge(limits.bytes);
  return spans;
}

function isPictureField(name: Buffer): boolean {
  return PICTURE_FIELDS.some((field) => field.equals(name));
}

/**
 * @param name of the field
 * @returns the part after the scheme of a `data:` URI that begins at `from`, or base64; undefined for a short or any
 * other text
 */
function pictureAt(bytes: Buffer, from: number, name: Buffer): Span | undefined {
  const isBase64 = name.equals(BASE64_FIELD);
  if (!isBase64 && !isPictureField(name)) return undefined;
  const start = isBase64 ? from : from + SCHEME.length;
  const beginning = bytes.toString('latin1', from, from + 2 * LONGEST_BEGINNING);
  const begins = isBase64
    ? BEGINNINGS.some((one) => beginning.replaceAll('\\/', '/').startsWith(one))
    : beginning.slice(0, SCHEME.length).toLowerCase() === SCHEME;
  if (!begins) return undefined;
  const end = endOfUri(bytes, start);
  return end - from < LEAST_PICTURE_BYTES ? undefined : { from: start, end };
}

/**
 * @returns the position of the quote that ends a `data:` URI; -1 if that quote is escaped, which no picture has
 * @throws Failure `invalid_json` if the body has no such quote
 */
function endOfUri(bytes: Buffer, start: number): number {
  let quote = bytes.indexOf(QUOTE, start);
  if (quote === -1) throw notJson();
  while (quote !== -1 && bytes[quote - 1] === BACKSLASH) {
    if (quote > start + LONGEST_HEAD || bytes[quote - 2] === BACKSLASH) return -1;
    quote = bytes.indexOf(QUOTE, quote + 1);
  }
  return quote;
}

/** @returns the position of the quote that ends a string, or any position not before `most` */
function endOfText(bytes: Buffer, from: number, most: number): number {
  let at = from;
  for (; at < most; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE || byte === undefined) break;
    if (byte === BACKSLASH) at += 1;
  }
  return at;
}

/** @throws Failure `invalid_json` */
function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Failure('invalid_json', 'the body is not UTF-8 text');
  return bytes.toString('utf8');
}

function notJson(): Failure {
  return new Failure('invalid_json', 'the body is not valid JSON');
}

function tooMany(what: string, allowed: number): Failure {
  return new Failure('invalid_json', `the body holds more than ${allowed} ${what}`, { allowed });
}

function tooLarge(allowed: number): Failure {
  const message = `the body has more than ${allowed} bytes outside its pictures`;
  return new Failure('body_too_large', message, { allowed });
}
