// @ts-check
/**
 * Permanent streams in their own process, so that nothing else delays their measurement. Each message
 * of its parent is answered with the measurements since the last one.
 */
import { request } from 'node:http';
import { z } from 'zod';

const Settings = z.object({
  WATCH_URL: z.string(),
  WATCH_KEY: z.string(),
  WATCH_STREAMS: z.coerce.number(),
});
const { WATCH_URL: url, WATCH_KEY: key, WATCH_STREAMS: count } = Settings.parse(process.env);
const RETRY_MS = 200;
/** @type {Map<number, number>} when the last piece of each running stream arrived */
const lastAt = new Map();
let longest = 0;
let failed = 0;
let ended = 0;

/** @param {number} index */
function stream(index) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
  const sent = request(`${url}/v1/chat/completions`, { method: 'POST', agent: false, headers });
  let text = '';
  const end = () => {
    lastAt.delete(index);
    const isWhole = text.endsWith('data: [DONE]\n\n');
    if (isWhole) ended += 1;
    else failed += 1;
    setTimeout(() => stream(index), isWhole ? 0 : RETRY_MS);
  };
  sent.on('response', (res) => {
    res.setEncoding('utf8');
    res.on('data', (piece) => {
      const now = performance.now();
      longest = Math.max(longest, now - (lastAt.get(index) ?? now));
      lastAt.set(index, now);
      text = (text + piece).slice(-100);
    });
    res.on('error', () => {});
    res.on('close', end);
  });
  sent.on('error', end);
  const messages = [{ role: 'user', content: `Stream ${index}: go on.` }];
  sent.end(JSON.stringify({ messages, stream: true, max_tokens: 2_000, min_tokens: 2_000, ignore_eos: true }));
}

process.on('message', () => {
  const now = performance.now();
  for (const [index, at] of lastAt) {
    longest = Math.max(longest, now - at);
    lastAt.set(index, now);
  }
  process.send?.({ gapMs: longest, running: lastAt.size, failed, ended });
  [longest, failed, ended] = [0, 0, 0];
});
process.on('disconnect', () => process.exit());
for (let index = 0; index < count; index += 1) stream(index);
