// @ts-check
import { randomBytes } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

/** Side of the picture: as base64 of random grey pixels it has 1.5 MB. */
const SIDE = 1_060;

/** @param {string} name @param {Buffer} data */
const chunk = (name, data) => {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
};

/** The data URL of a square PNG that cannot be compressed. @param {number} side in pixels */
export const noise = (side) => {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 0, 0, 0, 0], 8);
  const rows = randomBytes((side + 1) * side);
  for (let row = 0; row < side; row += 1) rows[row * (side + 1)] = 0;
  const data = deflateSync(rows, { level: 0 });
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  const png = Buffer.concat([signature, chunk('IHDR', head), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))]);
  return `data:image/png;base64,${png.toString('base64')}`;
};

/** A request with a picture. @param {string} [model] without it the gateway chooses its only model */
export const question = (model) => {
  const content = [
    { type: 'image_url', image_url: { url: noise(SIDE) } },
    { type: 'text', text: 'What is shown?' },
  ];
  return Buffer.from(JSON.stringify({ model, messages: [{ role: 'user', content }], max_tokens: 4 }));
};
