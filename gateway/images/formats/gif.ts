import type { Base64Bytes } from './base64-bytes.ts';
import { PictureProblem } from './picture-problem.ts';
import type { Size } from './size.ts';

const [EXTENSION, FRAME, TRAILER] = [0x21, 0x2c, 0x3b];
const [CONTROL, COMMENT, APPLICATION] = [0xf9, 0xfe, 0xff];
const CUT = 'is a GIF picture that is cut short';

/**
 * A model sees only the first frame. If the screen is too small for it, the screen grows. Source: GIF89a specification,
 * and Pillow's GifImagePlugin, which is more lenient.
 * @throws PictureProblem
 */
export async function measureGif(bytes: Base64Bytes): Promise<Size> {
  let at = 13 + colourTableBytes(bytes.byte(10));
  for (;;) {
    if (at >= bytes.length) throw new PictureProblem(CUT);
    const kind = bytes.byte(at);
    if (kind === TRAILER) throw new PictureProblem('is a GIF picture without a frame');
    if (kind === FRAME) break;
    at = kind === EXTENSION ? await afterExtension(bytes, at + 1) : at + 1;
    if (bytes.isTired) await bytes.rest();
  }
  const width = Math.max(bytes.uintLE(6, 2), bytes.uintLE(at + 1, 2) + bytes.uintLE(at + 5, 2));
  const height = Math.max(bytes.uintLE(8, 2), bytes.uintLE(at + 3, 2) + bytes.uintLE(at + 7, 2));
  const isEmpty = bytes.uintLE(at + 5, 2) === 0 || bytes.uintLE(at + 7, 2) === 0;
  const codeSize = at + 10 + colourTableBytes(bytes.byte(at + 9));
  if (!(await isWhole(bytes, codeSize + 1))) throw new PictureProblem(CUT);
  if (isEmpty) throw new PictureProblem('is a GIF picture whose first frame has no pixels');
  if (bytes.byte(codeSize) > 12) throw new PictureProblem('is a GIF picture with a damaged first frame');
  return { width, height, orientation: 1 };
}

/** @param start of its label */
async function afterExtension(bytes: Base64Bytes, start: number): Promise<number> {
  const label = bytes.byte(start);
  const size = bytes.byte(start + 1);
  if (label === COMMENT) return afterBlocks(bytes, start + 1);
  if (label === CONTROL && size > 0 && size < ((bytes.byte(start + 2) & 1) === 1 ? 4 : 3))
    throw new PictureProblem('is a GIF picture with a damaged frame control');
  // Pillow reads one block and then blocks up to an empty one, even if the first was empty.
  let at = start + 2 + size;
  if (label === APPLICATION && bytes.text(start + 2, size).startsWith('NETSCAPE2.0')) at += 1 + bytes.byte(at);
  return afterBlocks(bytes, at);
}

/**
 * Reads up to the empty block that ends the frame's data. If the file ends before it, the data count as complete if the
 * last block is shorter than the first, as encoders write it.
 */
async function isWhole(bytes: Base64Bytes, start: number): Promise<boolean> {
  if (start >= bytes.length) return false;
  let last = 0;
  let at = start;
  while (at < bytes.length) {
    const size = bytes.byte(at);
    if (size === 0) return true;
    last = at;
    at += 1 + size;
    bytes.countPart();
    if (bytes.isTired) await bytes.rest();
  }
  return at === bytes.length && (last === start || bytes.byte(last) < bytes.byte(start));
}

/** @returns the position after a row of blocks, each after its length, and the empty one that ends them */
async function afterBlocks(bytes: Base64Bytes, start: number): Promise<number> {
  let at = start;
  while (at < bytes.length && bytes.byte(at) !== 0) {
    at += 1 + bytes.byte(at);
    bytes.countPart();
    if (bytes.isTired) await bytes.rest();
  }
  return at + 1;
}

function colourTableBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}
