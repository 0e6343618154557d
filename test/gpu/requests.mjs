// @ts-check
import { crc32, deflateSync } from 'node:zlib';

/** Prompts and pictures of a load: all different, so that no engine's cache helps; the same for the same seed. */

const WORDS = (
  'water gate pipe valve river turbine pressure engine signal morning letter market harbour street window garden ' +
  'carries opens closes turns follows reaches leaves counts measures holds behind under above between along before ' +
  'quiet narrow careful bright ordinary heavy early distant steady small long warm old cold green every second third'
).split(' ');
const BLOCK = 16;

/** @param {number} seed @returns {() => number} below 1, evenly; source: mulberry32 */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {number} seed @param {number} words */
export function prompt(seed, words) {
  const random = randomFrom(seed);
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
}

/** A PNG of coloured squares, as a data URI. @param {number} seed @param {number} width @param {number} height */
export function picture(seed, width, height) {
  const random = randomFrom(seed);
  const stride = 1 + 3 * width;
  const pixels = Buffer.alloc(stride * height);
  for (let top = 0; top < height; top += BLOCK) {
    const row = pixels.subarray(top * stride, (top + 1) * stride);
    for (let left = 0; left < width; left += BLOCK) {
      const colour = Buffer.from([random() * 256, random() * 256, random() * 256]);
      row.fill(colour, 1 + 3 * left, Math.min(1 + 3 * (left + BLOCK), stride));
    }
    for (let below = top + 1; below < Math.min(top + BLOCK, height); below += 1) row.copy(pixels, below * stride);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(pixels, { level: 1 });
  const file = Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))]);
  return `data:image/png;base64,${file.toString('base64')}`;
}

/** @param {string} name @param {Buffer} data */
function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}
