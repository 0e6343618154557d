import { imageSize } from 'image-size';

export type ImageType = 'png' | 'jpeg' | 'webp' | 'gif';

interface Sniffed {
  readonly type: ImageType;
  readonly width: number;
  readonly height: number;
}

/**
 * Bytes from the start of a picture within which its size must stand. PNG, WebP and GIF have it in the first 30; a JPEG
 * puts camera data and colour profiles before it.
 */
export const HEADER_BYTES = 256 * 1024;

/**
 * Reads type and size from a picture's first bytes, whatever its sender calls it. Nothing is decoded.
 * @returns undefined for anything that is not a PNG, JPEG, WebP or GIF with a size
 */
export function sniffImage(head: Uint8Array): Sniffed | undefined {
  const type = typeOf(head);
  if (type === undefined) return undefined;
  try {
    // A copy: the library reads past the end of a view, into whatever stands behind it in the same memory.
    const { width, height } = imageSize(new Uint8Array(head));
    return width > 0 && height > 0 ? { type, width, height } : undefined;
  } catch {
    return undefined;
  }
}

/** Stands before the library's own guess, which would go on to formats that no engine reads, such as SVG. */
function typeOf(head: Uint8Array): ImageType | undefined {
  const start = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, 16)).toString('latin1');
  if (start.startsWith('\x89PNG\r\n\x1a\n') && start.endsWith('IHDR')) return 'png';
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (/^RIFF.{4}WEBPVP8[ LX]/s.test(start)) return 'webp';
  return /^GIF8[79]a/.test(start) ? 'gif' : undefined;
}
