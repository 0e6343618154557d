import type { Base64Bytes } from './base64-bytes.ts';
import { orientationOf } from './orientation.ts';
import { PictureProblem } from './picture-problem.ts';
import type { Size } from './size.ts';

const CUT = 'is a WebP picture that is cut short';
const DAMAGED = 'is a WebP picture whose parts contradict each other';
/** Flags of the extended header (source: WebP container specification). */
const [ANIMATED, XMP, EXIF, KNOWN_FLAGS] = [2, 4, 8, 0x3e];
const HEADER_BYTES = 8;
const EXTENDED_BYTES = 10;
const ANIMATION_BYTES = 6;
const FRAME_BYTES = 16;

/**
 * Reads chunks up to the size that the container declares, each of even length. A still picture's canvas is its frame's
 * size, and an animation's frames lie within it (source: WebP container specification; libwebp's demux.c and
 * webp_dec.c, where stricter).
 * @throws PictureProblem
 */
export async function measureWebp(bytes: Base64Bytes): Promise<Size> {
  const riffEnd = HEADER_BYTES + bytes.uintLE(4, 4);
  if (riffEnd > bytes.length) throw new PictureProblem(CUT);
  if (riffEnd < 20) throw new PictureProblem(DAMAGED);
  const walk = new Walk(bytes, riffEnd);
  return bytes.text(12, 4) === 'VP8X' ? await walk.extended() : { ...walk.frame(12, riffEnd), orientation: 1 };
}

interface Frame {
  readonly width: number;
  readonly height: number;
  /** after its last chunk */
  readonly end: number;
}

class Walk {
  readonly #bytes: Base64Bytes;
  readonly #end: number;

  constructor(bytes: Base64Bytes, end: number) {
    this.#bytes = bytes;
    this.#end = end;
  }

  async extended(): Promise<Size> {
    const bytes = this.#bytes;
    const flags = bytes.byte(20);
    const canvas = { width: 1 + bytes.uintLE(24, 3), height: 1 + bytes.uintLE(27, 3) };
    if (bytes.uintLE(16, 4) !== EXTENDED_BYTES || (flags & ~KNOWN_FLAGS) !== 0) throw new PictureProblem(DAMAGED);
    const isAnimation = (flags & ANIMATED) !== 0;
    let frames = 0;
    let isAnimated = false;
    const metadata = new Map<string, Buffer>();
    for (let at = 12 + HEADER_BYTES + EXTENDED_BYTES; at !== this.#end;) {
      bytes.countPart();
      const name = bytes.text(at, 4);
      const end = this.#afterChunk(at, this.#end);
      if (name === 'VP8X') throw new PictureProblem(DAMAGED);
      else if (name === 'ALPH' || name === 'VP8 ' || name === 'VP8L') {
        const frame = this.frame(at, this.#end);
        const isSame = frame.width === canvas.width && frame.height === canvas.height;
        if (isAnimation || isAnimated || frames > 0 || !isSame) throw new PictureProblem(DAMAGED);
        frames += 1;
        at = frame.end;
      } else {
        let next = end;
        if (name === 'ANIM') {
          if (bytes.uintLE(at + 4, 4) < ANIMATION_BYTES) throw new PictureProblem(DAMAGED);
          isAnimated = true;
        } else if (name === 'ANMF') {
          if (!isAnimated) throw new PictureProblem(DAMAGED);
          // Data after a frame's picture are read as if they came after the frame.
          next = this.#afterAnimationFrame(at + HEADER_BYTES, end, canvas);
          if (isAnimation) frames += 1;
        } else if ((name === 'EXIF' && (flags & EXIF) !== 0) || (name === 'XMP ' && (flags & XMP) !== 0)) {
          const data = at + HEADER_BYTES;
          if (!metadata.has(name)) metadata.set(name, await bytes.longSlice(data, data + bytes.uintLE(at + 4, 4)));
        }
        at = next;
      }
      if (bytes.isTired) await bytes.rest();
    }
    if (frames === 0) throw new PictureProblem('is a WebP picture without a frame');
    return { ...canvas, orientation: orientationOf({ exif: metadata.get('EXIF'), xmp: metadata.get('XMP ') }) };
  }

  /** A frame's chunks: alpha if it has any, and the picture. @param limit end of its container */
  frame(start: number, limit: number): Frame {
    const bytes = this.#bytes;
    let at = start;
    if (bytes.text(at, 4) === 'ALPH') {
      at = this.#afterChunk(at, limit);
      if (bytes.text(at, 4) !== 'VP8 ') throw new PictureProblem(DAMAGED);
    }
    const end = this.#afterChunk(at, limit);
    const size = bytes.uintLE(at + 4, 4);
    const data = at + HEADER_BYTES;
    const frame = bytes.text(at, 4) === 'VP8 ' ? this.#lossy(data, size) : this.#lossless(data, size);
    // Data after a picture are not read, but must be a chunk.
    if (end !== this.#end) this.#afterChunk(end, this.#end);
    return { ...frame, end };
  }

  /** source: RFC 6386 section 9.1 */
  #lossy(data: number, size: number): { width: number; height: number } {
    const bytes = this.#bytes;
    const tag = bytes.uintLE(data, 3);
    const width = bytes.uintLE(data + 6, 2) & 0x3fff;
    const height = bytes.uintLE(data + 8, 2) & 0x3fff;
    const isSound = size >= 10 && bytes.text(data + 3, 3) === '\x9d\x01*' && (tag & 1) === 0 && ((tag >> 1) & 7) <= 3;
    if (!isSound || (tag & 16) === 0 || tag >> 5 >= size || width === 0 || height === 0)
      throw new PictureProblem('is a WebP picture with a damaged frame header');
    return { width, height };
  }

  /** source: RFC 9649 section 3.4 */
  #lossless(data: number, size: number): { width: number; height: number } {
    const bits = this.#bytes.uintLE(data + 1, 4);
    if (size < 5 || this.#bytes.byte(data) !== 0x2f || bits >= 2 ** 29)
      throw new PictureProblem('is a WebP picture with a damaged frame header');
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >> 14) & 0x3fff) };
  }

  #afterAnimationFrame(start: number, end: number, canvas: { width: number; height: number }): number {
    if (end - start < FRAME_BYTES) throw new PictureProblem(DAMAGED);
    const bytes = this.#bytes;
    const x = 2 * bytes.uintLE(start, 3);
    const y = 2 * bytes.uintLE(start + 3, 3);
    const { width, height, end: next } = this.frame(start + FRAME_BYTES, end);
    const isInside = x + width <= canvas.width && y + height <= canvas.height;
    if (!isInside) throw new PictureProblem(DAMAGED);
    return next;
  }

  #afterChunk(at: number, limit: number): number {
    const size = this.#bytes.uintLE(at + 4, 4);
    const end = at + HEADER_BYTES + size + (size & 1);
    if (at + HEADER_BYTES > limit || end > limit) throw new PictureProblem(DAMAGED);
    return end;
  }
}
