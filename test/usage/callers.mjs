// @ts-check
import { Agent, request } from 'undici';
import { png } from '../conformance/requests.mjs';

/** The callers of the trial: four keys, one for each API, whose requests are streamed, whole, short, long, with pictures. */

export const KEYS = /** @type {const} */ (['chat', 'completions', 'responses', 'score']);
const PICTURE = `data:image/png;base64,${png(640, 480).toString('base64')}`;
/** Lengths of answers in tokens: 1 to 10. */
const LENGTHS = [10, 100, 30, 60, 20];
/** A client that leaves waits so long for a whole answer: shorter than the shortest. It leaves a stream after its first bytes. */
const LEAVE_AFTER_MS = 300;
const HUNG_AFTER_MS = 120_000;

/** One connection a request, so that a fault of one does not affect others. */
const agent = new Agent({ pipelining: 0, headersTimeout: 0, bodyTimeout: 0, connections: null });

/**
 * @typedef {object} Call
 * @property {typeof KEYS[number]} key
 * @property {string} path
 * @property {object} body
 * @property {boolean} leaves its client leaves in the middle
 *
 * @typedef {object} Ended
 * @property {number} status 0 without an answer's head
 * @property {boolean} isWhole the answer came to its end
 */

/** The request of this number. @param {number} number @param {boolean} leaves @returns {Call} */
export function call(number, leaves) {
  const [stream, text] = [number % 8 < 5, `Question ${number}: what does valve ${number * 7} do?`];
  const tokens = LENGTHS[number % LENGTHS.length] ?? 10;
  const turn = Math.floor(number / 8) % 4;
  const withPicture = number % 10 === 9;
  const content = withPicture
    ? [
        { type: 'text', text },
        { type: 'image_url', image_url: { url: PICTURE } },
      ]
    : text;
  const messages = [{ role: 'user', content }];
  const length = { max_tokens: tokens, ignore_eos: true, temperature: 0 };
  if (turn === 1 && !withPicture)
    return { key: 'completions', path: '/v1/completions', body: { prompt: text, stream, ...length }, leaves };
  if (turn === 2 && !withPicture) {
    const body = { input: text, stream, max_output_tokens: tokens, temperature: 0 };
    return { key: 'responses', path: '/v1/responses', body, leaves };
  }
  if (turn === 3) {
    const parameters = { max_new_tokens: tokens, ignore_eos: true, temperature: 0 };
    return { key: 'score', path: '/score', body: { input_data: { input_string: messages, parameters } }, leaves };
  }
  return { key: 'chat', path: '/v1/chat/completions', body: { messages, stream, ...length }, leaves };
}

/** Sends it, and reads or leaves. A fault of the server never throws. @param {string} url @param {Call} call @returns {Promise<Ended>} */
export async function send(url, { key, path, body, leaves }) {
  const isStreamed = 'stream' in body && body.stream === true;
  const signal = AbortSignal.timeout(leaves && !isStreamed ? LEAVE_AFTER_MS : HUNG_AFTER_MS);
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${secretOf(key)}` };
  let status = 0;
  try {
    const options = /** @type {const} */ ({ method: 'POST', headers, dispatcher: agent, signal });
    const answer = await request(url + path, { ...options, body: JSON.stringify(body) });
    status = answer.statusCode;
    if (leaves) for await (const _first of answer.body) return { status, isWhole: false };
    await answer.body.text();
    return { status, isWhole: status === 200 };
  } catch {
    return { status, isWhole: false };
  }
}

/** @param {string} key */
export function secretOf(key) {
  return `secret-of-${key}`;
}
