import { deflateSync, inflateSync } from 'node:zlib';
import { pngChunk } from '../support/pictures.ts';

/** Bytes of the signature, and of the length, name and checksum of a chunk. */
const [SIGNATURE, FRAME] = [8, 12];
const [RGB, RGBA, PALETTE] = [2, 6, 3];
const MOST_COLOURS = 256;

/**
 * The same picture with at most 256 colours, which halves it at least: a page has few, and the edges of its letters have
 * many that look alike. The colours that are frequent stay as they are. Source: PNG, third edition.
 * @param picture with 8 bits a channel and without interlace, as Chromium makes it
 */
export function withFewColours(picture: Buffer): Buffer {
  const head = Buffer.from(picture.subarray(SIGNATURE + 8, SIGNATURE + 8 + 13));
  const [width, height, kind] = [head.readUInt32BE(0), head.readUInt32BE(4), head[9]];
  if (head[8] !== 8 || head[12] !== 0 || (kind !== RGB && kind !== RGBA)) throw new Error('no picture of Chromium');
  const channels = kind === RGB ? 3 : 4;
  const pixels = unfiltered(inflateSync(packedData(picture)), width * channels, height, channels);
  const colours = Uint32Array.from({ length: width * height }, (_, pixel) => pixels.readUIntBE(pixel * channels, 3));
  const palette = mostFrequent(colours);
  const indexes = new Map(palette.map((colour, index) => [colour, index]));
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const colour = colours[y * width + x] ?? 0;
      let index = indexes.get(colour);
      if (index === undefined) indexes.set(colour, (index = nearestIn(palette, colour)));
      rows[y * (width + 1) + x + 1] = index;
    }
  head[9] = PALETTE;
  const chunks = [
    pngChunk('IHDR', head),
    pngChunk('PLTE', Buffer.from(palette.flatMap(partsOf))),
    pngChunk('IDAT', deflateSync(rows, { level: 9 })),
    pngChunk('IEND'),
  ];
  return Buffer.concat([picture.subarray(0, SIGNATURE), ...chunks]);
}

function mostFrequent(colours: Uint32Array): number[] {
  const counts = new Map<number, number>();
  for (const colour of colours) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.slice(0, MOST_COLOURS).map(([colour]) => colour);
}

/** @returns the index of the colour that differs least */
function nearestIn(palette: readonly number[], colour: number): number {
  const wanted = partsOf(colour);
  const distances = palette.map((one) =>
    partsOf(one).reduce((sum, part, at) => sum + (part - (wanted[at] ?? 0)) ** 2, 0),
  );
  return distances.indexOf(Math.min(...distances));
}

function partsOf(colour: number): number[] {
  return [colour >> 16, (colour >> 8) & 255, colour & 255];
}

function packedData(picture: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = SIGNATURE; at < picture.length; at += FRAME + picture.readUInt32BE(at))
    if (picture.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(picture.subarray(at + 8, at + 8 + picture.readUInt32BE(at)));
  return Buffer.concat(parts);
}

/** Undoes the filters of the rows (9.2). @param step bytes of a pixel */
function unfiltered(rows: Buffer, width: number, height: number, step: number): Buffer {
  const pixels = Buffer.alloc(width * height);
  for (let y = 0; y < height; y += 1) {
    const [filter, from, to] = [rows[y * (width + 1)], y * (width + 1) + 1, y * width];
    for (let x = 0; x < width; x += 1) {
      const left = x < step ? 0 : (pixels[to + x - step] ?? 0);
      const up = y === 0 ? 0 : (pixels[to + x - width] ?? 0);
      const corner = x < step || y === 0 ? 0 : (pixels[to + x - width - step] ?? 0);
      const guess = guessed(filter ?? 0, left, up, corner);
      pixels[to + x] = ((rows[from + x] ?? 0) + guess) & 255;
    }
  }
  return pixels;
}

function guessed(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  return filter === 4 ? nearest(left, up, corner) : 0;
}

/** Paeth's predictor (9.4). */
function nearest(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
