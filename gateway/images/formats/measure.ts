import { Failure } from '../../failure.ts';
import type { Base64Bytes } from './base64-bytes.ts';
import { measureGif } from './gif.ts';
import { measureJpeg } from './jpeg.ts';
import { isTurned } from './orientation.ts';
import { PictureProblem } from './picture-problem.ts';
import { measurePng } from './png.ts';
import { measureWebp } from './webp.ts';

export type ImageType = 'png' | 'jpeg' | 'webp' | 'gif';

export interface Measured {
  readonly type: ImageType;
  /** in pixels, as the engine sees it: of its first frame, turned by its metadata */
  readonly width: number;
  readonly height: number;
}

const MEASURES = { png: measurePng, jpeg: measureJpeg, webp: measureWebp, gif: measureGif };

/**
 * Type and size of a picture as the engine's decoder sees it, whatever type its sender declares. What the decoder opens
 * is measured, and what it refuses is refused, as far as possible without unpacking a pixel. Source: Pillow 13.0 with
 * libjpeg-turbo 3.2 and libwebp 1.6, as vLLM 0.33 calls them; `npm run corpus` compares.
 * @param param path of the picture in the caller's body
 * @throws Failure `invalid_image` with the problem
 * @throws `signal.reason` of `bytes`, unchanged, if the caller left first
 */
export async function measurePicture(bytes: Base64Bytes, param: string): Promise<Measured> {
  try {
    const type = typeOf(bytes);
    const { width, height, orientation } = await MEASURES[type](bytes);
    return isTurned(orientation) ? { type, width: height, height: width } : { type, width, height };
  } catch (cause) {
    if (!(cause instanceof PictureProblem)) throw cause;
    throw new Failure('invalid_image', `${param} ${cause.message}`, { param });
  }
}

function typeOf(bytes: Base64Bytes): ImageType {
  const start = bytes.text(0, 64);
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (/^RIFF.{4}WEBPVP8[ LX]/s.test(start)) return 'webp';
  if (/^GIF8[79]a/.test(start)) return 'gif';
  const like = start.trimStart().startsWith('<') ? ' (it begins like SVG or HTML)' : '';
  throw new PictureProblem(`is not a PNG, JPEG, WebP or GIF picture${like}`);
}
