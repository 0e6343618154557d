import { once } from 'node:events';
import { pipeline, Transform, type Readable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib';
import { Failure } from '../../failure.ts';

/** A missing end is ignored, as in browsers: the picture itself shows whether it is complete. */
const LENIENT = { finishFlush: constants.Z_SYNC_FLUSH };
const LENIENT_BROTLI = { finishFlush: constants.BROTLI_OPERATION_FLUSH };
const DECODERS: Readonly<Record<string, (body: Readable) => Transform | Promise<Transform>>> = {
  gzip: () => createGunzip(LENIENT),
  'x-gzip': () => createGunzip(LENIENT),
  br: () => createBrotliDecompress(LENIENT_BROTLI),
  deflate: inflate,
};
const MOST_CODINGS = 3;
/** First bytes of PNG, JPEG, GIF and WebP. */
const BEGINNING = /^(\x89PNG|\xff\xd8\xff|GIF8|RIFF)/;

export interface ContentCodings {
  /** those that can be decoded, in the order in which they were applied */
  readonly known: readonly string[];
  /** the last applied one that cannot be decoded, if any */
  readonly unknown?: string;
}

/**
 * @param header of the answer
 * @throws Failure `invalid_image` if there are too many
 */
export function contentCodings(header: string | undefined, param: string): ContentCodings {
  const codings = (header ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity');
  const at = codings.findLastIndex((coding) => !Object.hasOwn(DECODERS, coding));
  const known = codings.slice(at + 1);
  if (known.length > MOST_CODINGS)
    throw new Failure(
      'invalid_image',
      `${param} leads to a picture with ${known.length} content codings; at most ${MOST_CODINGS} are decoded`,
      { param },
    );
  const unknown = codings[at];
  return unknown === undefined ? { known } : { known, unknown };
}

/**
 * Checks a body with an unknown coding. Storage services repeat whatever was once declared for a file (`none`, `utf-8`,
 * `aws-chunked`). Browsers and aiohttp take such a body unchanged, and so does the gateway if it begins like a picture.
 * @throws Failure `invalid_image` if the body seems to be coded
 */
export function checkUnknownCoding(coding: string, head: Buffer, param: string): void {
  if (BEGINNING.test(head.toString('latin1', 0, 8))) return;
  const named = /^[\w.-]{1,32}$/.test(coding) ? coding : 'without a proper name';
  throw new Failure(
    'invalid_image',
    `${param} leads to a picture with the content coding ${named}, which is not supported; use gzip, deflate, br or none`,
    { param },
  );
}

/**
 * Decodes the body while it arrives.
 * @param limitBytes of the input and output of each coding
 * @param tooLarge thrown above that limit
 */
export async function undoCodings(
  body: Readable,
  codings: readonly string[],
  limitBytes: number,
  tooLarge: Failure,
): Promise<Readable> {
  let undone = body;
  for (const coding of codings.toReversed()) {
    const decoder = await DECODERS[coding]?.(undone);
    // Errors arrive at the last stream.
    if (decoder !== undefined) undone = pipeline(undone, limited(limitBytes, tooLarge), decoder, () => undefined);
  }
  return undone;
}

function limited(limitBytes: number, tooLarge: Failure): Transform {
  let bytes = 0;
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      if (bytes > limitBytes) done(tooLarge);
      else done(null, chunk);
    },
  });
}

/**
 * `deflate` is zlib's format by RFC 9110 section 8.4.1.2, but some hosts send it without zlib's header. The lower half
 * of the first byte shows which. Browsers and aiohttp take both.
 */
async function inflate(body: Readable): Promise<Transform> {
  // It may have failed before the listeners were added.
  if (body.errored !== null) throw body.errored;
  await Promise.race([once(body, 'readable'), once(body, 'end')]);
  const head: unknown = body.read();
  if (!Buffer.isBuffer(head)) return createInflate(LENIENT);
  body.unshift(head);
  return ((head[0] ?? 0) & 0x0f) === 8 ? createInflate(LENIENT) : createInflateRaw(LENIENT);
}
