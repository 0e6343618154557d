// @ts-check
import { question } from './picture-body.mjs';

/** The name in the card of deploy/models: every gateway gets the same requests. */
export const MODEL = 'Phi-3-vision-128k-instruct';
/** Time between two tokens of the engine. */
export const TOKEN_MS = 20;
/** Callers of streams start one after the other within this time. */
const RAMP_MS = 1_000;
/** A load in a row, without pauses. */
export const STEADY = { once: false, rampMs: 0, everyMs: 0 };
const TEXT = 'How does a penstock work? '.repeat(8);

/**
 * @typedef {object} Load
 * @property {string} name for `--loads`
 * @property {string} heading of its table
 * @property {number} concurrency
 * @property {number | null} tokens of each stream; null: not streamed
 * @property {boolean} once each caller sends one stream, all of them at the same time
 * @property {number} rampMs callers start one after the other within this time
 * @property {number} everyMs a caller sends its next request not before this time after the last one
 * @property {number} seconds
 * @property {number} warmUpSeconds not counted
 * @property {() => string | Buffer} body
 */

/**
 * The loads of one run, in their order.
 * @param {{ seconds: number, streams: number }} size
 * @returns {Load[]}
 */
export function loads({ seconds, streams }) {
  /** @param {number} concurrency @returns {Load} */
  const plain = (concurrency) => ({
    name: `c${concurrency}`,
    heading: `Non-streamed, ${concurrency} at a time`,
    concurrency,
    ...STEADY,
    tokens: null,
    seconds,
    warmUpSeconds: Math.min(2, seconds),
    body: () => chat(16, false),
  });
  const streamTokens = Math.round((seconds * 1_000) / TOKEN_MS);
  return [
    plain(1),
    plain(32),
    plain(256),
    {
      name: 'streams',
      heading: `Streams, one token every ${TOKEN_MS} ms`,
      concurrency: streams,
      tokens: streamTokens,
      once: true,
      rampMs: RAMP_MS,
      everyMs: 0,
      seconds,
      warmUpSeconds: 0,
      body: () => chat(streamTokens, true),
    },
    {
      name: 'picture',
      heading: 'A picture of 1.5 MB, 16 at a time',
      concurrency: 16,
      ...STEADY,
      tokens: null,
      seconds,
      warmUpSeconds: Math.min(2, seconds),
      body: () => question(MODEL),
    },
    {
      name: 'ttft',
      heading: 'Time to the first token, one stream at a time',
      concurrency: 1,
      ...STEADY,
      tokens: 1,
      seconds,
      warmUpSeconds: Math.min(2, seconds),
      body: () => chat(1, true),
    },
  ];
}

/** @param {number} tokens @param {boolean} stream @returns {string} the body of a request */
export function chat(tokens, stream) {
  const messages = [{ role: 'user', content: TEXT }];
  return JSON.stringify({
    model: MODEL,
    messages,
    max_tokens: tokens,
    ...(stream ? { stream, ignore_eos: true } : {}),
  });
}
