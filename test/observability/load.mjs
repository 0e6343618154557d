// @ts-check
import { createHash, randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { stringify } from 'yaml';
import { png } from '../conformance/requests.mjs';
import { BLOCKED, UNJUDGED } from './services.mjs';

const MODEL = 'Phi-3-vision-128k-instruct';
const PICTURE = `data:image/png;base64,${png(64, 48).toString('base64')}`;
/** Callers that send a stream after another one: more than the engines have slots, so that requests wait. */
const STREAMS = 14;
const PICTURES = 2;
const STREAM_TOKENS = 40;
/** A request that hangs must not hang the run. */
const ANSWER_WITHIN_MS = 60_000;

/** Keys by their ids. */
const KEYS = {
  oslo: 'key-of-oslo-for-this-run',
  bergen: 'key-of-bergen-for-this-run',
  tromso: 'key-of-tromso-in-this-run',
};

/** The key file of the run: one without limits, one with few requests, one with a webhook. @param {string} receiverUrl */
export function keyFile(receiverUrl) {
  const more = {
    oslo: {},
    bergen: { limits: { requests_per_minute: 5 } },
    tromso: { webhook: { url: receiverUrl, secret: `whsec_${Buffer.alloc(32, 7).toString('base64')}` } },
  };
  const keys = Object.entries(KEYS).map(([id, key]) => ({
    id,
    primary: createHash('sha256').update(key).digest('hex'),
    ...more[/** @type {keyof typeof more} */ (id)],
  }));
  return stringify({ keys });
}

/**
 * @typedef {object} Asked
 * @property {string} path
 * @property {object} body
 * @property {string} [key] absent: the one without limits; empty: none
 * @property {Record<string, string>} [headers]
 */

/** @param {string} text @param {object} [more] @returns {Asked} */
const chat = (text, more = {}) => ({
  path: '/v1/chat/completions',
  body: { model: MODEL, max_tokens: 8, messages: [{ role: 'user', content: text }], ...more },
});
/** @param {number} pictures @returns {object} */
const withPictures = (pictures) => ({
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is it?' },
        ...Array.from({ length: pictures }, () => ({ type: 'image_url', image_url: { url: PICTURE } })),
      ],
    },
  ],
});

/** What is sent again and again, each kind with a pause between two requests. @type {readonly { everyMs: number, ask: () => Asked }[]} */
const KINDS = [
  ...Array.from({ length: STREAMS }, () => ({
    everyMs: 0,
    ask: () => chat(`Tell of valve ${randomUUID()}.`, { stream: true, max_tokens: STREAM_TOKENS }),
  })),
  ...Array.from({ length: PICTURES }, () => ({ everyMs: 100, ask: () => chat('', withPictures(1)) })),
  { everyMs: 500, ask: () => ({ ...chat('hi'), headers: { 'idempotency-key': randomUUID() } }) },
  { everyMs: 500, ask: () => ({ ...chat('hi'), key: KEYS.bergen }) },
  {
    everyMs: 1_000,
    ask: () => ({
      path: '/v1/responses',
      key: KEYS.tromso,
      body: { model: MODEL, input: 'hi', background: true, max_output_tokens: 4 },
    }),
  },
  {
    everyMs: 1_000,
    ask: () => ({ path: '/score', body: { input_data: { input_string: [{ role: 'user', content: 'hi' }] } } }),
  },
  { everyMs: 1_000, ask: () => chat('two pictures', withPictures(2)) },
  { everyMs: 1_000, ask: () => chat('hi', { model: 'no-such-model' }) },
  { everyMs: 1_000, ask: () => ({ ...chat('hi'), key: '' }) },
  { everyMs: 1_000, ask: () => chat(BLOCKED) },
  { everyMs: 1_000, ask: () => chat(UNJUDGED) },
];

/**
 * Sends a mixed load until the signal aborts.
 * @param {string} url of a gateway's public port
 * @param {AbortSignal} signal
 * @returns {Promise<Map<string, number>>} how many answers each status had
 */
export async function sendLoad(url, signal) {
  /** @type {Map<string, number>} */
  const statuses = new Map();
  // Each caller waits for it.
  setMaxListeners(0, signal);
  const loop = async (/** @type {typeof KINDS[number]} */ { everyMs, ask }) => {
    while (!signal.aborted) {
      const status = await send(url, ask());
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await setTimeout(everyMs, undefined, { signal }).catch(() => {});
    }
  };
  await Promise.all(KINDS.map(loop));
  return statuses;
}

/** @param {string} url @param {Asked} asked @returns {Promise<string>} its status, or that there was none */
async function send(url, { path, body, key = KEYS.oslo, headers = {} }) {
  try {
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...headers,
        ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    await answer.arrayBuffer();
    return String(answer.status);
  } catch {
    return 'none';
  }
}
