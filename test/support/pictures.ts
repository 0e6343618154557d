import { randomBytes } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

/** A complete, valid PNG: one grey pixel repeated, 8 bits deep. */
export function png(width: number, height: number): Buffer {
  return greyPng(width, height, 127, 6);
}

/** The same with random pixels, which cannot be compressed: some `width` × `height` bytes. */
export function noisePng(width: number, height: number): Buffer {
  return greyPng(width, height, randomBytes((width + 1) * height), 0);
}

function greyPng(width: number, height: number, pixels: number | Buffer, level: number): Buffer {
  const rows = Buffer.alloc((width + 1) * height, pixels);
  for (let row = 0; row < height; row += 1) rows[row * (width + 1)] = 0;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    pngHead(width, height),
    pngChunk('IDAT', deflateSync(rows, { level })),
    pngChunk('IEND'),
  ]);
}

export function pngHead(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  return pngChunk('IHDR', header);
}

export function pngChunk(name: string, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

/** A JPEG by its segments, after `before`, or so many bytes of camera data; its one scan is empty. */
export function jpeg(width: number, height: number, before: number | Buffer = 14): Buffer {
  const parts: Buffer[] = [Buffer.from([0xff, 0xd8])];
  if (typeof before !== 'number') parts.push(before);
  else
    for (let left = before; left > 0; left -= 60_000)
      parts.push(jpegSegment(0xe2, Buffer.alloc(Math.min(left, 60_000))));
  const frame = jpegFrame(width, height);
  const scan = Buffer.from([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x55, 0x55]);
  const table = jpegSegment(0xdb, Buffer.alloc(65, 1).fill(0, 0, 1));
  return Buffer.concat([...parts, table, frame, scan, Buffer.from([0xff, 0xd9])]);
}

export function jpegFrame(width: number, height: number, marker = 0xc0): Buffer {
  const data = Buffer.from([8, 0, 0, 0, 0, 1, 1, 0x11, 0]);
  data.writeUInt16BE(height, 1);
  data.writeUInt16BE(width, 3);
  return jpegSegment(marker, data);
}

export function jpegSegment(marker: number, data: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}

/** A GIF by its blocks, with a comment before the one frame; its picture data is a stub. */
export function gif(width: number, height: number): Buffer {
  const head = Buffer.from('GIF89a\0\0\0\0\0\0\0', 'latin1');
  head.writeUInt16LE(width, 6);
  head.writeUInt16LE(height, 8);
  head[10] = 0x80;
  const colours = Buffer.from([0, 0, 0, 255, 255, 255]);
  const comment = Buffer.from([0x21, 0xfe, 2, 0x68, 0x69, 0]);
  const frame = Buffer.from([0x2c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0x44, 0x01, 0]);
  head.copy(frame, 5, 6, 10);
  return Buffer.concat([head, colours, comment, frame, Buffer.from([0x3b])]);
}

/** An extended WebP, with `behind` its picture, whose data are a stub. */
export function webp(width: number, height: number, flags = 0, behind: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.from('RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0', 'latin1');
  head.writeUInt8(flags, 20);
  head.writeUIntLE(width - 1, 24, 3);
  head.writeUIntLE(height - 1, 27, 3);
  const frame = Buffer.from('VP8 \x10\0\0\0\x30\x01\0\x9d\x01\x2a\0\0\0\0\0\0\0\0\0\0', 'latin1');
  frame.writeUInt16LE(width, 14);
  frame.writeUInt16LE(height, 16);
  const whole = Buffer.concat([head, frame, behind]);
  whole.writeUInt32LE(whole.length - 8, 4);
  return whole;
}

export function dataUri(picture: Buffer, mediaType = 'image/png'): string {
  return `data:${mediaType};base64,${picture.toString('base64')}`;
}
