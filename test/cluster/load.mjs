// @ts-check
import { pause } from '../drill/processes.mjs';

/**
 * How one request ended: complete, refused with a status and an error in the dialect's form, or neither.
 * @typedef {object} Ended
 * @property {'complete' | 'refused' | 'broken'} how
 * @property {number} status 0 without an answer
 * @property {string | null} retryAfter
 * @property {string} detail
 */

/**
 * One completion; every second one as a stream. Each has a new connection, because a balancer chooses per connection.
 * @param {string} url @param {string} key @param {{ stream: boolean, tokens: number, limitMs?: number, onFirst?: () => void }} options
 * @returns {Promise<Ended>}
 */
export async function complete(url, key, { stream, tokens, limitMs = 120_000, onFirst = () => {} }) {
  let status = 0;
  try {
    const res = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, connection: 'close' },
      body: JSON.stringify({
        model: 'Phi-3-vision-128k-instruct',
        stream,
        max_tokens: tokens,
        messages: [{ role: 'user', content: 'Tell me of the river.' }],
      }),
      signal: AbortSignal.timeout(limitMs),
    });
    status = res.status;
    const retryAfter = res.headers.get('retry-after');
    if (status !== 200) {
      const { error } = /** @type {{ error?: { code?: string } }} */ (await res.json());
      return { how: error?.code === undefined ? 'broken' : 'refused', status, retryAfter, detail: String(error?.code) };
    }
    let text = '';
    for await (const piece of res.body ?? []) {
      if (text === '') onFirst();
      text += Buffer.from(piece).toString();
    }
    const whole = stream ? text.trimEnd().endsWith('data: [DONE]') : JSON.parse(text).choices[0].message.content !== '';
    return { how: whole ? 'complete' : 'broken', status, retryAfter, detail: text.slice(-200) };
  } catch (error) {
    return {
      how: 'broken',
      status,
      retryAfter: null,
      detail: String(error instanceof Error ? (error.cause ?? error) : error),
    };
  }
}

/** Clients that each send one request after another until they are stopped. */
export class Clients {
  /** @type {Ended[]} */
  ended = [];
  #stopping = false;
  /** @type {Promise<unknown>} */
  #all;

  /** @param {string} url @param {string} key @param {{ count: number, tokens: number, pauseMs?: number }} options */
  constructor(url, key, { count, tokens, pauseMs = 0 }) {
    const client = async (/** @type {number} */ n) => {
      while (!this.#stopping) {
        this.ended.push(await complete(url, key, { stream: n % 2 === 0, tokens }));
        await pause(pauseMs);
      }
    };
    this.#all = Promise.all(Array.from({ length: count }, (_, n) => client(n)));
  }

  async stop() {
    this.#stopping = true;
    await this.#all;
    return this.ended;
  }

  /** @param {Ended['how']} how */
  count(how) {
    return this.ended.filter((one) => one.how === how).length;
  }
}
