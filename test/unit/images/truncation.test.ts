import { expect, test } from '@jest/globals';
import { isTruncated } from '../../../gateway/images/truncation.ts';
import type { ImageType } from '../../../gateway/images/sniff.ts';
import { gif, jpeg, png, webp } from '../../support/pictures.ts';

const never = new AbortController().signal;
const cut = (type: ImageType, bytes: Buffer, signal = never) =>
  isTruncated(type, bytes.toString('base64'), bytes.length, signal);

const WHOLE: readonly (readonly [ImageType, Buffer])[] = [
  ['png', png(40, 30)],
  ['jpeg', jpeg(40, 30)],
  ['jpeg', jpeg(40, 30, 500_000)],
  ['gif', gif(40, 30)],
  ['webp', webp(40, 30)],
];

test.each(WHOLE)('a whole %s is whole, also with something behind its end', async (type, bytes) => {
  expect(await cut(type, bytes)).toBe(false);
  expect(await cut(type, Buffer.concat([bytes, Buffer.alloc(300_001, 0xaa)]))).toBe(false);
});

/** Ends that a picture can lose without losing any of the picture. */
const SPARE_BYTES: Readonly<Record<ImageType, number>> = { png: 4, jpeg: 0, gif: 1, webp: 0 };
test.each(WHOLE)('a %s that is cut anywhere is cut short', async (type, bytes) => {
  const from = Math.max(16, bytes.length - 2_000);
  for (let length = from; length < bytes.length - SPARE_BYTES[type]; length += 1)
    expect([length, await cut(type, bytes.subarray(0, length))]).toEqual([length, true]);
});

test('the end of a preview inside a JPEG is not the end of the JPEG', async () => {
  const preview = Buffer.from([0xff, 0xe1, 0, 6, 0xff, 0xd9, 0, 0]);
  const whole = jpeg(40, 30);
  const withPreview = Buffer.concat([whole.subarray(0, 2), preview, whole.subarray(2)]);
  expect(await cut('jpeg', withPreview)).toBe(false);
  expect(await cut('jpeg', withPreview.subarray(0, -2))).toBe(true);
});

test('a PNG without picture data is cut short, however it ends', async () => {
  const whole = png(40, 30);
  expect(await cut('png', Buffer.concat([whole.subarray(0, 33), whole.subarray(-12)]))).toBe(true);
});

test.each<[string, ImageType, Buffer]>([
  ['a PNG of nothing but tiny chunks', 'png', Buffer.concat([png(9, 9).subarray(0, 33), tinyChunks(15_000_000)])],
  ['a JPEG without an end', 'jpeg', Buffer.concat([jpeg(9, 9).subarray(0, -2), Buffer.alloc(15_000_000, 0x55)])],
  ['a GIF without an end', 'gif', Buffer.concat([gif(9, 9).subarray(0, -2), Buffer.alloc(15_000_000, 0x01)])],
])('%s: 15 MB are looked through in turns that let others go on', async (_what, type, bytes) => {
  let turns = 0;
  let watching = true;
  const watch = (): void => {
    turns += 1;
    if (watching) setImmediate(watch);
  };
  setImmediate(watch);
  expect(await cut(type, bytes)).toBe(true);
  watching = false;
  expect(turns).toBeGreaterThan(5);
});

test('a caller who left ends the search with their reason', async () => {
  const gone = new Error('gone');
  const bytes = Buffer.concat([jpeg(9, 9).subarray(0, -2), Buffer.alloc(5_000_000)]);
  await expect(cut('jpeg', bytes, AbortSignal.abort(gone))).rejects.toBe(gone);
});

function tinyChunks(bytes: number): Buffer {
  return Buffer.alloc(bytes, Buffer.from([0, 0, 0, 0, 0x74, 0x45, 0x58, 0x74, 0, 0, 0, 0]));
}
