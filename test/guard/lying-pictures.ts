import { WITH_MESSAGES } from '../bad-requests/route.ts';
import { dataUri, gif, jpeg, jpegFrame, png, pngChunk, pngHead, webp } from '../support/pictures.ts';
import { call } from '../support/call.ts';
import { addedJobs } from './added-jobs.ts';
import { must, type Check } from './check.ts';
import type { Stand } from './stand.ts';

const inserted = (bytes: Buffer, at: number, more: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
const whole = png(8, 6);
const screen = gif(8, 6);
screen.writeUInt16LE(60_000, 6);
screen.writeUInt16LE(60_000, 8);
/** Tiny files whose pictures are too large or contradict themselves. */
const PICTURES: readonly (readonly [name: string, picture: Buffer, code: string])[] = [
  [
    'a PNG of 400 megapixels in 90 bytes',
    Buffer.concat([whole.subarray(0, 8), pngHead(20_000, 20_000), whole.subarray(33)]),
    'image_too_large',
  ],
  ['a PNG with a second, larger header', inserted(whole, 33, pngHead(13_380, 13_380)), 'image_too_large'],
  ['a GIF on a screen of 3.6 gigapixels', screen, 'image_too_large'],
  ['a JPEG of 4 gigapixels', jpeg(65_000, 65_000), 'image_too_large'],
  ['a JPEG with two frame headers', jpeg(8, 6, jpegFrame(9_000, 9_000)), 'invalid_image'],
  ['a WebP whose canvas is not its frame', Buffer.from(webp(8, 6)).fill(99, 24, 25), 'invalid_image'],
  ['a PNG whose header has a wrong checksum', Buffer.from(whole).fill(9, 16, 20), 'invalid_image'],
  [
    'a PNG whose data are torn apart',
    inserted(whole, -12, Buffer.concat([pngChunk('tEXt', Buffer.from('a\0b')), pngChunk('IDAT', Buffer.from('x'))])),
    'invalid_image',
  ],
  ['a PNG of 1 by 20,000', png(1, 20_000), 'invalid_image'],
  ['a JPEG that is cut', jpeg(8, 6).subarray(0, -2), 'invalid_image'],
];

async function lies(stand: Stand): Promise<string> {
  const added = await addedJobs(stand, () => send(stand));
  must(added === 0, `${added} reached the queue`);
  return `${PICTURES.length} pictures on ${WITH_MESSAGES.length} routes refused with their reason, no job made`;
}

async function send(stand: Stand): Promise<void> {
  for (const [name, picture, code] of PICTURES)
    for (const route of WITH_MESSAGES) {
      const content = [{ type: 'image_url', image_url: { url: dataUri(picture) } }];
      const headers = { authorization: `Bearer ${stand.keyOf('hostile')}` };
      const input = route.withInput([{ role: 'user', content }]);
      const { status, body } = await call(stand.gateway.url + route.path, input, headers).ended;
      must(
        status >= 400 && status < 500 && body.includes(code),
        `${name} on ${route.path}: ${status} ${body.slice(0, 300)}`,
      );
    }
}

export const LYING_PICTURES: readonly Check[] = [
  { row: 'N7', name: 'pictures that say one size and have another', sent: 'files of 100 bytes to 20 kB', run: lies },
];
