import { constants, inflateSync } from 'node:zlib';
import type { Base64Bytes } from './base64-bytes.ts';
import { PictureProblem } from './picture-problem.ts';

/** Texts that can turn a picture: XMP, and the form in which old programs write EXIF. */
export const [EXIF_TEXT, RAW_EXIF_TEXT, XMP_TEXT] = ['exif', 'Raw profile type exif', 'XML:com.adobe.xmp'];
const LONGEST_KEY = 79;
/** unpacked; Pillow's MAX_TEXT_CHUNK */
const MOST_BYTES = 1024 * 1024;

export interface PngText {
  readonly key: string;
  readonly value: Buffer;
}

/**
 * One of the texts above, unpacked (source: PNG specification 11.3.3).
 * @param name of the chunk: tEXt, zTXt or iTXt
 * @param start of its data
 * @returns undefined for any other text, which is not read, and for a damaged one
 * @throws PictureProblem for a text of more than 1 MB, or texts of more than 64 MB, which no decoder takes
 */
export function readPngText(bytes: Base64Bytes, name: string, start: number, end: number): PngText | undefined {
  const head = bytes.text(start, Math.min(LONGEST_KEY + 1, end - start));
  const key = head.includes('\0') ? head.slice(0, head.indexOf('\0')) : head;
  if (![EXIF_TEXT, RAW_EXIF_TEXT, XMP_TEXT].includes(key)) return undefined;
  if (end - start > MOST_BYTES) throw tooLong(key);
  const data = bytes.slice(start + key.length + 1, end);
  if (name === 'tEXt') return { key, value: data };
  if (name === 'zTXt') return { key, value: unpacked(bytes, data.subarray(1), key) ?? Buffer.alloc(0) };
  const language = data.indexOf(0, 2);
  const text = data.indexOf(0, language + 1) + 1;
  if (data.length < 2 || language === -1 || text === 0) return undefined;
  const value =
    data[0] === 0 ? data.subarray(text) : data[1] === 0 ? unpacked(bytes, data.subarray(text), key) : undefined;
  return value === undefined ? undefined : { key, value };
}

function unpacked(bytes: Base64Bytes, data: Buffer, key: string): Buffer | undefined {
  let text: Buffer | undefined;
  try {
    text = inflateSync(data, { maxOutputLength: MOST_BYTES, finishFlush: constants.Z_SYNC_FLUSH });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLong(key);
  }
  // It is unknown how much came before the damage; at most the limit.
  bytes.countUnpacked(text?.length ?? MOST_BYTES);
  return text;
}

function tooLong(key: string): PictureProblem {
  return new PictureProblem(`is a PNG picture with more than ${MOST_BYTES} bytes of text under "${key}"`);
}
