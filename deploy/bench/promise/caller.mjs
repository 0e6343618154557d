// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from 'undici';
import { MODEL } from './stack.mjs';

/** As openai-node: two further tries, after the time that the server gives if that is at most 60 s. */
const FURTHER_TRIES = 2;
const LONGEST_OBEYED_MS = 60_000;
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 8_000;
const CALL_LIMIT_MS = 300_000;
const REPEATED = [408, 409, 429];
const STOP = 'halt';
const QUOTED_AFTER = 5;

/**
 * @typedef {object} Call
 * @property {string} key its id
 * @property {number} tokens of the answer, which the simulator makes
 * @property {number} [maxTokens] that the body says, if more than `tokens`
 * @property {string} [tier] `service_tier`
 * @property {boolean} [stream]
 * @property {string} [picture] URL
 *
 * @typedef {object} Try
 * @property {number} startedAt ms of this process's clock, as all times here
 * @property {number} endedAt
 * @property {number} status 0: no answer
 * @property {string} code of the error, or empty
 * @property {string} refusal header x-penstock-refusal, or empty
 * @property {number | undefined} retryAfterMs
 * @property {Record<string, string>} headers
 * @property {string} comments of a stream
 *
 * @typedef {Call & { ok: boolean, tries: Try[] }} Record_
 */

/** HTTP clients that behave like openai-node, over all gateways in turns. */
export class Callers {
  #next = 0;
  #stack;
  #agent = new Agent({ connections: 2_000, headersTimeout: CALL_LIMIT_MS, bodyTimeout: CALL_LIMIT_MS });

  /** @param {import('./stack.mjs').Stack} stack */
  constructor(stack) {
    this.#stack = stack;
  }

  /**
   * One call, with its further tries. @param {Call} call @param {number} [furtherTries]
   * @returns {Promise<Record_>}
   */
  async ask(call, furtherTries = FURTHER_TRIES) {
    const n = this.#next++;
    const body = JSON.stringify(bodyOf(call, n));
    const headers = { 'content-type': 'application/json', ...this.#stack.headersOf(call.key) };
    /** @type {Try[]} */
    const tries = [];
    for (let left = furtherTries; ; left -= 1) {
      const url = this.#stack.urls[(n + tries.length) % this.#stack.urls.length];
      const one = await this.#try(`${url}/v1/chat/completions`, headers, body);
      tries.push(one);
      if (one.status === 200) return { ...call, ok: one.code === '', tries };
      if (left === 0 || !isRepeated(one)) return { ...call, ok: false, tries };
      await pause(waitOf(one, furtherTries - left));
    }
  }

  /** @param {string} url @param {Record<string, string>} headers @param {string} body @returns {Promise<Try>} */
  async #try(url, headers, body) {
    const startedAt = performance.now();
    try {
      const { origin, pathname } = new URL(url);
      const answer = await this.#agent.request({ origin, path: pathname, method: 'POST', headers, body });
      const text = await answer.body.text();
      /** @type {Record<string, string>} */
      const told = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]));
      return {
        startedAt,
        endedAt: performance.now(),
        status: answer.statusCode,
        code: /"code": ?"([a-z_]+)"/.exec(text)?.[1] ?? '',
        refusal: told['x-penstock-refusal'] ?? '',
        retryAfterMs: retryAfterOf(told),
        headers: told,
        comments: text
          .split('\n')
          .filter((line) => line.startsWith(':'))
          .join('\n'),
      };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'no_answer';
      const endedAt = performance.now();
      return { startedAt, endedAt, status: 0, code, refusal: '', retryAfterMs: undefined, headers: {}, comments: '' };
    }
  }

  async close() {
    await this.#agent.destroy();
  }
}

/** @param {Call} call @param {number} n makes it differ from all others */
function bodyOf({ tokens, maxTokens, tier, stream, picture }, n) {
  const common = {
    model: MODEL,
    stream: stream === true,
    ...(tier === undefined ? {} : { service_tier: tier }),
  };
  const text = `question ${n}`;
  const content =
    picture === undefined
      ? text
      : [
          { type: 'text', text },
          { type: 'image_url', image_url: { url: picture } },
        ];
  if (maxTokens === undefined)
    return {
      ...common,
      messages: [{ role: 'user', content }],
      max_tokens: tokens,
      ignore_eos: true,
    };
  // The simulator quotes the question after four tokens, so that a word in it ends the answer.
  const words = `${'word '.repeat(Math.max(0, tokens - QUOTED_AFTER))}${STOP}`;
  const messages = [
    { role: 'system', content: `conversation ${n}` },
    { role: 'user', content: words },
  ];
  return { ...common, messages, max_tokens: maxTokens, stop: [STOP] };
}

/** @param {Record<string, string>} headers @returns {number | undefined} ms */
function retryAfterOf(headers) {
  const ms = Number.parseFloat(headers['retry-after-ms'] ?? '');
  if (!Number.isNaN(ms)) return ms;
  const seconds = Number.parseFloat(headers['retry-after'] ?? '');
  return Number.isNaN(seconds) ? undefined : seconds * 1_000;
}

/** @param {Try} one */
function isRepeated({ status, headers }) {
  const told = headers['x-should-retry'];
  if (told === 'true' || told === 'false') return told === 'true';
  return status === 0 || status >= 500 || REPEATED.includes(status);
}

/** @param {Try} one @param {number} retries before it @returns {number} ms */
function waitOf({ retryAfterMs }, retries) {
  if (retryAfterMs !== undefined && retryAfterMs >= 0 && retryAfterMs <= LONGEST_OBEYED_MS) return retryAfterMs;
  return Math.min(FIRST_BACKOFF_MS * 2 ** retries, LONGEST_BACKOFF_MS) * (1 - Math.random() / 4);
}
