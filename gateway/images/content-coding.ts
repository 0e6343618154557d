import { once } from 'node:events';
import { pipeline, Transform, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib';
import { Failure } from '#contract/failure';

const DECODERS: Readonly<Record<string, (body: Readable) => Transform | Promise<Transform>>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  br: () => createBrotliDecompress(),
  deflate: inflate,
};
const MOST_CODINGS = 3;

/**
 * @param header of the answer
 * @returns the codings in the order in which they were applied
 * @throws Failure `invalid_image` for one that is not read here, or too many
 */
export function contentCodings(header: string | undefined, param: string): readonly string[] {
  const codings = (header ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity');
  const unknown = codings.find((coding) => !Object.hasOwn(DECODERS, coding));
  if (unknown !== undefined) {
    const named = /^[\w.-]{1,32}$/.test(unknown) ? unknown : 'one without a proper name';
    throw new Failure(
      'invalid_image',
      `${param} leads to a picture with the content coding ${named}, which is not read here; read are gzip, deflate and br`,
      { param },
    );
  }
  if (codings.length > MOST_CODINGS)
    throw new Failure(
      'invalid_image',
      `${param} leads to a picture with ${String(codings.length)} content codings; at most ${String(MOST_CODINGS)} are undone`,
      { param },
    );
  return codings;
}

/**
 * Undoes them while the body comes.
 * @param limitBytes of what goes into and comes out of each coding
 * @param tooLarge what is thrown above that
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
    // What goes wrong comes out of the last stream.
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
 * `deflate` is zlib's format by RFC 9110 section 8.4.1.2, and yet some hosts send it without zlib's header, whose first byte is
 * told by its lower half. Browsers and aiohttp take both.
 */
async function inflate(body: Readable): Promise<Transform> {
  // It may have broken off before anybody listened.
  if (body.errored !== null) throw body.errored;
  await Promise.race([once(body, 'readable'), once(body, 'end')]);
  const head: unknown = body.read();
  if (!Buffer.isBuffer(head)) return createInflate();
  body.unshift(head);
  return ((head[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw();
}
