import { createHash } from 'node:crypto';
import { imageSize } from 'image-size';
import { badRequest, internalError } from '../http/errors.ts';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** such as `PNG picture of 640 x 480 pixels` */
  readonly description: string;
  readonly hash: number;
}

const TILE = 336;
/** formats that vLLM reads (source: Pillow); all others are unidentified */
const READABLE = new Set(['png', 'jpg', 'webp', 'gif', 'bmp', 'tiff']);

/**
 * Reads type and size from the first bytes, and turns JPEGs by their EXIF data, as vLLM does. The declared media type
 * does not count.
 * @param maxPixels VLLM_MAX_IMAGE_PIXELS
 * @throws ApiError 400 for bytes that are not a readable picture, 500 for too many pixels (vLLM's status)
 */
export function readPicture(bytes: Uint8Array, maxPixels: number): Picture {
  const { width, height, type } = header(bytes);
  if (width * height > maxPixels) {
    throw internalError(
      `Image size (${width * height} pixels) exceeds limit of ${maxPixels} pixels, could be decompression bomb DOS attack.`,
    );
  }
  if (isTruncated(bytes, type)) throw badRequest('Failed to load image: image file is truncated');
  const name = type === 'jpg' ? 'JPEG' : type.toUpperCase();
  const hash = createHash('sha1').update(bytes).digest().readUInt32LE(0);
  return { width, height, description: `${name} picture of ${width} x ${height} pixels`, hash };
}

function header(bytes: Uint8Array): { width: number; height: number; type: string } {
  try {
    const { width, height, type, orientation = 1 } = imageSize(bytes);
    if (type !== undefined && READABLE.has(type) && width > 0 && height > 0)
      return orientation >= 5 && orientation <= 8 ? { width: height, height: width, type } : { width, height, type };
  } catch {
    // The library throws for an unknown format.
  }
  throw badRequest('Failed to load image: cannot identify image file <_io.BytesIO object>');
}

function isTruncated(bytes: Uint8Array, type: string): boolean {
  // The end mark may stand before the last byte, because cameras append data of their own.
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === 'png') return !whole.includes('IEND');
  if (type === 'jpg') return !whole.includes(Buffer.from([0xff, 0xd9]));
  return false;
}

/**
 * Prompt tokens of one picture for Phi-3-vision. Source: its processor, checked against vLLM for 15 sizes.
 * Pictures are scaled up to fill their tiles, so a tiny picture costs as much as a large square.
 * @throws ApiError 500 for a picture beyond 336 * numCrops to 1
 */
export function imageTokens(width: number, height: number, numCrops: number): number {
  const landscape = width >= height;
  const ratio = landscape ? width / height : height / width;
  let long = 1;
  while ((long + 1) * Math.ceil((long + 1) / ratio) <= numCrops) long += 1;
  const short = Math.ceil(Math.floor((TILE * long) / ratio) / TILE);
  // Calculated, not recorded: vLLM makes zero rows of such a picture. Its answer is a guess.
  if (short === 0) throw internalError('integer division or modulo by zero');
  const columns = landscape ? long : short;
  const rows = landscape ? short : long;
  return (columns * rows + 1) * 144 + 1 + (rows + 1) * 12;
}
