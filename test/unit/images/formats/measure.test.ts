import { deflateSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { Base64Bytes } from '../../../../gateway/images/formats/base64-bytes.ts';
import { measurePicture } from '../../../../gateway/images/formats/measure.ts';
import { gif, jpeg, jpegFrame, jpegSegment, png, pngChunk, pngHead, webp } from '../../../support/pictures.ts';

const never = new AbortController().signal;
const base64Of = (bytes: Buffer) => Buffer.from(bytes.toString('base64'), 'latin1');
const measureBase64 = (base64: Buffer, length: number, signal = never) =>
  measurePicture(new Base64Bytes(base64, length, signal), 'the picture');
const measure = (bytes: Buffer, signal = never) => measureBase64(base64Of(bytes), bytes.length, signal);
const sizeOf = async (bytes: Buffer) => {
  const { type, width, height } = await measure(bytes);
  return `${type} ${width}x${height}`;
};

const WHOLE: readonly (readonly [string, Buffer])[] = [
  ['png', png(40, 30)],
  ['jpeg', jpeg(40, 30)],
  ['jpeg', jpeg(40, 30, 500_000)],
  ['gif', gif(40, 30)],
  ['webp', webp(40, 30)],
];

test.each(WHOLE)('a complete %s is measured, also with bytes after its end', async (type, bytes) => {
  expect(await sizeOf(bytes)).toBe(`${type} 40x30`);
  expect(await sizeOf(Buffer.concat([bytes, Buffer.alloc(300_001, 0xaa)]))).toBe(`${type} 40x30`);
});

/** Trailing bytes without picture data: PNG's checksum and end chunk, GIF's end. */
const SPARE_BYTES: Readonly<Record<string, number>> = { png: 16, jpeg: 0, gif: 2, webp: 0 };
test.each(WHOLE)('N7: a %s cut at any byte is reported as cut short', async (type, bytes) => {
  const from = Math.max(12, bytes.length - 2_000);
  const whole = base64Of(bytes);
  for (let length = from; length < bytes.length - (SPARE_BYTES[type] ?? 0); length += 1) {
    const thirds = length - (length % 3);
    const base64 = Buffer.concat([whole.subarray(0, (thirds / 3) * 4), base64Of(bytes.subarray(thirds, length))]);
    await expect(measureBase64(base64, length)).rejects.toThrow(/that is cut short$|is not a PNG/);
  }
});

/** A text of 1 MB that is one kilobyte in the file. @param damage added to the last byte of its checksum */
function bomb(damage: number): Buffer {
  const packed = deflateSync(Buffer.alloc(1024 * 1024));
  packed.writeUInt8(((packed.at(-1) ?? 0) + damage) % 256, packed.length - 1);
  return pngChunk('zTXt', Buffer.concat([Buffer.from('exif\0\0'), packed]));
}

const profile = Buffer.alloc(60_000, 'ICC_PROFILE\0\x01\x0a', 'latin1');
const D1 = {
  'a colour profile of 557 kB': Buffer.concat(
    Array.from({ length: 9 }, () => jpegSegment(0xe2, profile)).concat(jpegSegment(0xe2, profile.subarray(0, 17_000))),
  ),
  'a depth map in XMP': repeated(
    20,
    jpegSegment(0xe1, Buffer.from(`http://ns.adobe.com/xmp/extension/\0${'d'.repeat(50_000)}`)),
  ),
  'Photoshop blocks': repeated(10, jpegSegment(0xed, Buffer.from(`Photoshop 3.0\0${'8BIM'.repeat(10_000)}`))),
  comments: repeated(10, jpegSegment(0xfe, Buffer.alloc(65_533, 'c'))),
};
test.each(Object.entries(D1))('D1: a JPEG with its frame after %s is measured', async (_what, before) => {
  expect(before.length).toBeGreaterThan(256 * 1024);
  expect(await sizeOf(jpeg(640, 480, before))).toBe('jpeg 640x480');
});

test('N7: a preview has its own size and its own end, the picture is measured', async () => {
  const preview = jpegSegment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), jpeg(160, 120)]));
  const whole = jpeg(4_000, 3_000, preview);
  expect(await sizeOf(whole)).toBe('jpeg 4000x3000');
  await expect(measure(whole.subarray(0, -2))).rejects.toThrow('the picture is a JPEG picture that is cut short');
});

test.each<[string, string, Buffer]>([
  ['the screen is larger than the first frame', 'gif 400x300', gifOf(400, 300, [0, 0, 20, 10])],
  ['the first frame is larger than the screen', 'gif 400x300', gifOf(1, 1, [0, 0, 400, 300])],
  ['the first frame is partly outside', 'gif 30x20', gifOf(20, 10, [10, 10, 20, 10])],
  ['the screen has no extent', 'gif 20x10', gifOf(0, 0, [0, 0, 20, 10])],
  ['a second header before the data', 'png 400x300', insertedAt(png(4, 3), 33, pngHead(400, 300))],
  ['a header after the data', 'png 4x3', insertedAt(png(4, 3), -12, pngHead(400, 300))],
  ['another chunk first', 'png 4x3', insertedAt(png(4, 3), 8, pngChunk('CgBI', Buffer.from('abcd')))],
])('N7: %s: the size is that of the engine’s decoder', async (_what, size, bytes) => {
  expect(await sizeOf(bytes)).toBe(size);
});

test.each<[string, Buffer, string]>([
  ['two frame headers', jpeg(4, 3, jpegFrame(400, 300)), 'two frame headers'],
  ['no height', jpeg(4, 0), 'JPEG picture of 4 by 0 pixels'],
  ['a frame of a kind that is not decoded', jpeg(4, 3, jpegFrame(4, 3, 0xc5)), 'frame FFC5'],
  ['12 bits a sample', edited(jpeg(4, 3), '\xff\xc0', 4, 12), '12 bits a sample'],
  ['no tables', edited(jpeg(4, 3), '\xff\xdb', 1, 0xfe), 'without the tables (DQT)'],
  ['a canvas that is not its frame’s size', Buffer.from(webp(40, 30)).fill(99, 24, 25), 'contradict each other'],
  ['a container larger than the file', Buffer.from(webp(40, 30)).fill(99, 4, 5), 'WebP picture that is cut short'],
  ['a header with a wrong checksum', Buffer.from(png(4, 3)).fill(9, 16, 20), 'IHDR chunk: its checksum'],
  [
    'a text with a wrong checksum',
    insertedAt(png(4, 3), 33, Buffer.from('\0\0\0\x01tEXta1234')),
    'tEXt chunk: its checksum',
  ],
  ['picture data that are torn apart', insertedAt(png(4, 3), -12, tornApart()), 'interrupted by another chunk'],
  ['no picture data', Buffer.concat([png(4, 3).subarray(0, 33), png(4, 3).subarray(-12)]), 'without picture data'],
  ['no frame', Buffer.concat([gif(4, 3).subarray(0, 19), Buffer.from(';')]), 'GIF picture without a frame'],
  ['SVG', Buffer.from('<svg width="9"/>'), 'is not a PNG, JPEG, WebP or GIF picture (it begins like SVG or HTML)'],
])('N7: %s: refused with that reason', async (_what, bytes, reason) => {
  const refusal = measure(bytes);
  await expect(refusal).rejects.toMatchObject({ code: 'invalid_image', options: { param: 'the picture' } });
  await expect(refusal).rejects.toThrow(reason);
});

test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])(
  'N7: orientation %i turns the size as the engine turns the picture',
  async (value) => {
    const size = value >= 5 && value <= 8 ? '30x40' : '40x30';
    const exif = orientation(value);
    const named = Buffer.concat([Buffer.from('Exif\0\0'), exif]);
    expect(await sizeOf(jpeg(40, 30, jpegSegment(0xe1, named)))).toBe(`jpeg ${size}`);
    expect(await sizeOf(insertedAt(png(40, 30), 33, pngChunk('eXIf', exif)))).toBe(`png ${size}`);
    expect(await sizeOf(insertedAt(png(40, 30), -12, pngChunk('eXIf', exif)))).toBe(`png ${size}`);
    expect(await sizeOf(webp(40, 30, 8, riffChunk('EXIF', exif)))).toBe(`webp ${size}`);
    expect(await sizeOf(webp(40, 30, 0, riffChunk('EXIF', exif)))).toBe('webp 40x30');
  },
);

test.each<[string, number, string, Buffer]>([
  ['a PNG of tiny chunks', 15_000_000, 'more than 200000 parts', Buffer.concat([png(9, 9).subarray(0, 33), tiny()])],
  [
    'a PNG of texts that unpack to 1 MB each',
    1_100_000,
    'more than 67108864 bytes of text',
    Buffer.concat([png(9, 9).subarray(0, 33), ...Array<Buffer>(1_000).fill(bomb(0))]),
  ],
  [
    'a PNG of texts that unpack to 1 MB each and are damaged',
    1_100_000,
    'more than 67108864 bytes of text',
    Buffer.concat([png(9, 9).subarray(0, 33), ...Array<Buffer>(1_000).fill(bomb(1))]),
  ],
  ['a JPEG without an end', 15_000_000, 'cut short', Buffer.concat([jpeg(9, 9).subarray(0, -2), Buffer.alloc(15e6)])],
  [
    'a JPEG of fill bytes',
    15_000_000,
    'cut short',
    Buffer.concat([jpeg(9, 9).subarray(0, 2), Buffer.alloc(15e6, 0xff)]),
  ],
  [
    'a GIF of tiny blocks',
    15_000_000,
    'more than 200000',
    Buffer.concat([gif(9, 9).subarray(0, -3), Buffer.alloc(15e6, 1)]),
  ],
])('N7: %s: %i bytes are searched in short runs of the event loop', async (_what, _size, reason, bytes) => {
  let turns = 0;
  let watching = true;
  const watch = (): void => {
    turns += 1;
    if (watching) setImmediate(watch);
  };
  setImmediate(watch);
  await expect(measure(bytes)).rejects.toThrow(reason);
  watching = false;
  expect(turns).toBeGreaterThan(5);
});

test('a caller who leaves ends the search with that reason', async () => {
  const gone = new Error('gone');
  const bytes = Buffer.concat([jpeg(9, 9).subarray(0, -2), Buffer.alloc(5_000_000)]);
  await expect(measure(bytes, AbortSignal.abort(gone))).rejects.toBe(gone);
});

function repeated(times: number, bytes: Buffer): Buffer {
  return Buffer.concat(Array.from({ length: times }, () => bytes));
}
function insertedAt(bytes: Buffer, at: number, more: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
}
/** @param by offset from the start of `mark` of the byte that becomes `value` */
function edited(bytes: Buffer, mark: string, by: number, value: number): Buffer {
  bytes[bytes.indexOf(mark, 0, 'latin1') + by] = value;
  return bytes;
}
function tornApart(): Buffer {
  return Buffer.concat([pngChunk('tEXt', Buffer.from('a\0b')), pngChunk('IDAT', Buffer.from('more'))]);
}
function tiny(): Buffer {
  return repeated(300_000, pngChunk('prVt'));
}
function gifOf(width: number, height: number, [x, y, ...frame]: [number, number, number, number]): Buffer {
  const bytes = gif(width, height);
  for (const [index, value] of [x, y, ...frame].entries()) bytes.writeUInt16LE(value, 26 + 2 * index);
  return bytes;
}
function riffChunk(name: string, data: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(data.length);
  return Buffer.concat([Buffer.from(name), size, data, Buffer.alloc(data.length % 2)]);
}
/** A TIFF file without other tags. */
function orientation(value: number): Buffer {
  const tiff = Buffer.from('II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0', 'latin1');
  tiff.writeUInt16LE(value, 18);
  return tiff;
}
