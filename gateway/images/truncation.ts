import { Base64Bytes } from './base64-bytes.ts';
import type { ImageType } from './sniff.ts';

/**
 * Whether a picture goes on to its end, as far as its structure tells; no pixel is decoded. An engine refuses a cut
 * picture, and only after it waited for its turn. What stands behind the end is nobody's business: cameras and editors put
 * films and notes there, and decoders pass over them.
 * @param base64 known to be sound, of `length` decoded bytes that begin as `type` does
 * @throws `signal.reason`, unchanged, when the caller gave up first
 */
export async function isTruncated(
  type: ImageType,
  base64: string,
  length: number,
  signal: AbortSignal,
): Promise<boolean> {
  const bytes = new Base64Bytes(base64, length, signal);
  switch (type) {
    case 'png':
      return !(await reachesIend(bytes));
    case 'jpeg':
      return !(await reachesEoi(bytes));
    case 'webp':
      return !holdsItsRiffSize(bytes);
    case 'gif':
      return !(await holdsFirstFrame(bytes));
    default:
      return type satisfies never;
  }
}

const PNG_SIGNATURE_BYTES = 8;
const [IDAT, IEND] = [0x49444154, 0x49454e44];

/** Chunk by chunk, each says its length (source: PNG specification 5.3): picture data, then IEND. */
async function reachesIend(bytes: Base64Bytes): Promise<boolean> {
  let hasData = false;
  let at = PNG_SIGNATURE_BYTES;
  while (at + 8 <= bytes.length) {
    const name = bytes.uint32(at + 4);
    if (name === IEND) return hasData;
    hasData ||= name === IDAT;
    at += bytes.uint32(at) + 12;
    if (bytes.isTired) await bytes.rest();
  }
  return false;
}

const [START_OF_SCAN, END_OF_IMAGE] = [0xda, 0xd9];

/**
 * Segments up to the first scan, then the mark of the end (source: ITU T.81 annex B). It cannot stand inside picture data;
 * in the segments before, which hold previews, it can.
 */
async function reachesEoi(bytes: Base64Bytes): Promise<boolean> {
  let at = 2;
  for (;;) {
    if (at + 4 > bytes.length) return false;
    const marker = bytes.byte(at + 1);
    const isMarker = bytes.byte(at) === 0xff && marker !== 0xff && marker !== 0;
    if (isMarker && marker === START_OF_SCAN) break;
    // Fill bytes may stand before a marker, and decoders pass over what is none.
    at += isMarker ? 2 + bytes.uint16(at + 2) : 1;
    if (bytes.isTired) await bytes.rest();
  }
  // Almost always it is at the very end, so the search begins there.
  for (let end = bytes.length - 1; end > at; end -= 1) {
    if (bytes.byte(end) === END_OF_IMAGE && bytes.byte(end - 1) === 0xff) return true;
    if (bytes.isTired) await bytes.rest();
  }
  return false;
}

/** The container says its own size, less the first eight bytes (source: WebP container specification). */
function holdsItsRiffSize(bytes: Base64Bytes): boolean {
  const size = bytes.byte(4) + bytes.byte(5) * 256 + bytes.byte(6) * 65_536 + bytes.byte(7) * 16_777_216;
  return size + 8 <= bytes.length;
}

const [EXTENSION, FRAME] = [0x21, 0x2c];

/** The first frame alone is what a model sees (source: GIF89a specification; engines convert frame 0). */
async function holdsFirstFrame(bytes: Base64Bytes): Promise<boolean> {
  let at = 13 + colourTableBytes(bytes.byte(10));
  while (at < bytes.length) {
    const kind = bytes.byte(at);
    if (kind === EXTENSION) at = await afterBlocks(bytes, at + 2);
    else if (kind === FRAME) {
      const data = at + 11 + colourTableBytes(bytes.byte(at + 9));
      return (await afterBlocks(bytes, data)) <= bytes.length && data < bytes.length;
    } else return false;
    if (bytes.isTired) await bytes.rest();
  }
  return false;
}

/** @returns the place after a row of blocks, each with its length before it, and the empty one that ends them */
async function afterBlocks(bytes: Base64Bytes, start: number): Promise<number> {
  let at = start;
  while (at < bytes.length && bytes.byte(at) !== 0) {
    at += 1 + bytes.byte(at);
    if (bytes.isTired) await bytes.rest();
  }
  return at + 1;
}

function colourTableBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}
