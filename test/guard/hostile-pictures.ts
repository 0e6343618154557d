import { deflateSync } from 'node:zlib';
import { dataUri, gif, jpeg, jpegSegment, noisePng, png, pngChunk, webp } from '../support/pictures.ts';
import { inPicture, type Attacked } from './attacked-routes.ts';

const MOST = 14_900_000;
const many = (piece: Buffer): Buffer => Buffer.concat(Array<Buffer>(Math.floor(MOST / piece.length)).fill(piece));
const uriOf = (picture: Buffer): string => dataUri(picture);
const head = png(8, 6).subarray(0, 33);
const zeros = (bytes: number): Buffer => deflateSync(Buffer.alloc(bytes));
const text = (key: string, packed: Buffer): Buffer =>
  pngChunk('zTXt', Buffer.concat([Buffer.from(`${key}\0\0`), packed]));
const letters = 'A'.repeat(19_800_000);

/** Pictures that are cheap to generate but expensive to check, as a URL of a part. */
const PICTURES: readonly (readonly [name: string, url: () => string])[] = [
  ['a picture of 15 MB', () => uriOf(noisePng(3_860, 3_860))],
  ['15 MB of base64 that is not a picture', () => `data:image/png;base64,${letters}`],
  ['15 MB of base64 with an invalid last character', () => `data:image/png;base64,${letters}*`],
  [
    '15 MB of base64 with a line feed each 76 letters',
    () => `data:image/png;base64,${`${'A'.repeat(76)}\\n`.repeat(250_000)}`,
  ],
  ['base64 of escaped slashes', () => `data:image/png;base64,${'\\/'.repeat(9_900_000)}`],
  ['base64 of escaped plus signs', () => `data:image/png;base64,${'\\u002B'.repeat(3_300_000)}`],
  ['base64 of invalid escapes', () => `data:image/png;base64,${'\\uZZZZ'.repeat(3_300_000)}`],
  ['base64 of escaped quotes', () => `data:image/png;base64,${'\\"'.repeat(9_900_000)}`],
  ['a data: URI of percent signs', () => `data:image/png,${'%41'.repeat(6_600_000)}`],
  ['a media type of 19 MB', () => `data:image/png;${'a=b;'.repeat(4_900_000)}base64,AAAA`],
  ['a URL of 4 MB', () => `http://127.0.0.1/${'../'.repeat(1_300_000)}`],
  ['a host name of 4 MB', () => `http://${'ü'.repeat(1_900_000)}/a.png`],
  [
    'a PNG of 400 texts that unpack to 1 MB each',
    () => uriOf(Buffer.concat([head, ...Array<Buffer>(400).fill(text('exif', zeros(1_048_000)))])),
  ],
  [
    'a PNG of 15,000 texts that unpack to 1 MB each',
    () => uriOf(Buffer.concat([head, many(text('XML:com.adobe.xmp', zeros(1_048_000)))])),
  ],
  ['a PNG of a million chunks', () => uriOf(Buffer.concat([head, many(pngChunk('tEXt'))]))],
  [
    'a PNG with 14 MB of EXIF',
    () =>
      uriOf(
        Buffer.concat([
          head,
          pngChunk('eXIf', Buffer.alloc(MOST, 'MM\0*\0\0\0\x08\xff\xff\0\0')),
          png(8, 6).subarray(33),
        ]),
      ),
  ],
  [
    'a PNG with 1 MB of hexadecimal EXIF',
    () =>
      uriOf(
        Buffer.concat([
          head,
          text('Raw profile type exif', deflateSync(Buffer.from(`\n\n\n${'4d '.repeat(349_000)}`))),
          png(8, 6).subarray(33),
        ]),
      ),
  ],
  ['a JPEG of fill bytes', () => uriOf(Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(MOST, 0xff)]))],
  [
    'a JPEG of restart marks',
    () => uriOf(Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(MOST, Buffer.from([0xff, 0xd0]))])),
  ],
  [
    'a JPEG of 230 segments of XMP',
    () =>
      uriOf(
        jpeg(
          8,
          6,
          many(jpegSegment(0xe1, Buffer.from(`http://ns.adobe.com/xap/1.0/\0${'tiff:Orientation'.repeat(4_000)}`))),
        ),
      ),
  ],
  [
    'a JPEG of 230 segments of EXIF',
    () =>
      uriOf(
        jpeg(
          8,
          6,
          many(
            jpegSegment(
              0xe1,
              Buffer.concat([Buffer.from('Exif\0\0MM\0*\0\0\0\x08\xff\xff', 'latin1'), Buffer.alloc(64_000)]),
            ),
          ),
        ),
      ),
  ],
  ['a GIF of blocks of a byte', () => uriOf(Buffer.concat([gif(8, 6).subarray(0, -3), Buffer.alloc(MOST, 1)]))],
  [
    'a GIF of bytes that belong to nothing',
    () => uriOf(Buffer.concat([gif(8, 6).subarray(0, 19), Buffer.alloc(MOST, 1)])),
  ],
  ['a WebP of empty chunks', () => uriOf(webp(8, 6, 0, many(Buffer.from('ABCD\0\0\0\0'))))],
  ['a WebP of empty frames', () => uriOf(webp(8, 6, 2, many(Buffer.from('ANMF\0\0\0\0'))))],
];

/** Each as a body of a route that accepts pictures. */
export const HOSTILE_PICTURES = PICTURES.map(([name, url]) => ({
  name,
  body: (route: Attacked) => ({ bytes: inPicture(route, url()) }),
}));
