import { crc32, deflateSync } from 'node:zlib';

/**
 * Requests that were shortened in the recording, and requests whose recorded answer depends on the random words of
 * the recorded model: each is sent in an equivalent form.
 */

/** @typedef {{ readonly pictures: string, readonly others: string, readonly folder: string }} Places */

/**
 * @param {import('./capture.mjs').Capture} capture
 * @param {Places} places addresses of the picture server under two names, and the folder of permitted files
 * @returns {string} the body to send
 */
export function bodyFor(capture, places) {
  const long = capture.body.replace(
    /"import numbers [^"]*\.\.\.\((\d+) chars\)\.\.\.[^"]*"/,
    (_, chars) => `"${'import numbers '.repeat(Math.floor(Number(chars) / 15))}"`,
  );
  const whole = long
    .replaceAll(
      /data:image\/(\w+);base64,iVBORw0KGgo[^"]*\.\.\.[^"]*/g,
      (_, type) => `data:image/${type};base64,${pictureFor(capture.name)}`,
    )
    .replace(/bm90IGFuIGltYWdlIGF0IGFs\.\.\./, base64('not an image at all, but text'))
    .replace(/PHN2ZyB4bWxucz0iaHR0cDov\.\.\./, base64('<svg xmlns="http://www.w3.org/2000/svg"></svg>'))
    .replace(/base64,AAAA[A]*\.\.\./, () => `base64,${'A'.repeat(30_000_000)}`)
    .replaceAll(/http:\/\/127\.0\.0\.1:819[89]/g, places.pictures)
    .replace('file:///tmp/vllm-test.png', `file://${places.folder}/vllm-test.png`)
    .replace('file:///tmp/../etc', `file://${places.folder}/../../etc`);
  return adapted(capture.name, whole);
}

/**
 * The recorded model ended after one or two tokens, or generated noise until it was cut; ours ends or is cut elsewhere.
 * @param {string} name
 * @param {string} body
 */
function adapted(name, body) {
  // Enough tokens for our model's natural end.
  if (name === 'chat-stop-natural') return body.replace('"max_tokens": 50', '"max_tokens": 500');
  if (name === 'responses-plain') return body.replace('"max_output_tokens":5', '"max_output_tokens":500');
  if (name === 'responses-stream') return body.replace('"max_output_tokens":4', '"max_output_tokens":500');
  if (name === 'stop-token-ids') return body.replace('"max_tokens": 5', '"max_tokens": 500');
  // max_tokens cut the recorded answers of these.
  if (/^json-(object|schema|schema-strict|schema-stream)$/.test(name))
    return body.replace(/"max_tokens": \d+/, '"max_tokens": 4');
  if (name === 'tools2-required') return body.replace('"max_tokens": 120', '"max_tokens": 3');
  // The recorded noise had none of these letters.
  if (name.startsWith('stop-string')) return body.replace('["e", "a", "o"]', '["#", "@"]');
  return body;
}

/** @param {string} name */
function pictureFor(name) {
  if (name === 'media-pixel-bomb') return png(20_000, 20_000).toString('base64');
  const picture = name === 'image-1x1' ? png(1, 1) : png(640, 480);
  return (name === 'image-truncated-png' ? picture.subarray(0, 60) : picture).toString('base64');
}

/** @param {string} text */
function base64(text) {
  return Buffer.from(text).toString('base64');
}

/**
 * A PNG of one colour, one bit per pixel.
 * @param {number} width
 * @param {number} height
 */
export function png(width, height) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const rows = deflateSync(Buffer.alloc((Math.ceil(width / 8) + 1) * Math.min(height, 1000)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', rows), chunk('IEND', Buffer.alloc(0))]);
}

/**
 * @param {string} name
 * @param {Buffer} data
 */
function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}
