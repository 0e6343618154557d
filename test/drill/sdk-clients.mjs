// @ts-check
import OpenAI from 'openai';
import { ask } from './client.mjs';
import { judge } from './ledger.mjs';
import { Load } from './load.mjs';
import { question } from './questions.mjs';

/** @typedef {import('./client.mjs').Seen} Seen @typedef {import('./questions.mjs').Question} Question */

const TOKENS = 60;
const HUNG_AFTER_MS = 60_000;
/** Maximum in all, so that an endless restart does not cause endless load. */
const AT_MOST = 5_000;

/**
 * Clients like those of applications: OpenAI's SDK on kept-alive connections, without retries; `/score`, for
 * which there is no SDK, on one connection per request. Every client sends its next request after each answer.
 * @param {string} url @param {number} count @param {import('./questions.mjs').Oracle} oracle
 * @param {number} [retries] of a request that a 503 refused, or whose connection broke before any byte
 */
export function startClients(url, count, oracle, retries = 0) {
  const clients = new Clients({ requests: 0, url: () => url, oracle });
  clients.begin(url, count, oracle, retries);
  return clients;
}

class Clients extends Load {
  #isOver = false;
  /** @type {Promise<unknown>} */
  #running = Promise.resolve();
  #next = 0;
  #retries = 0;

  /** @param {string} url @param {number} count @param {import('./questions.mjs').Oracle} oracle @param {number} retries */
  begin(url, count, oracle, retries) {
    this.#retries = retries;
    const sdk = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: HUNG_AFTER_MS });
    this.#running = Promise.all(Array.from({ length: count }, () => this.#client(sdk, url, oracle)));
    this.ended = this.#running.then(() => {});
    this.ended.catch(() => {});
  }

  /** No further questions; resolves when all are answered. */
  async stop() {
    this.#isOver = true;
    await this.#running;
  }

  /** @param {OpenAI} sdk @param {string} url @param {import('./questions.mjs').Oracle} oracle */
  async #client(sdk, url, oracle) {
    while (!this.#isOver && this.#next < AT_MOST) {
      this.#next += 1;
      const one = question(this.#next, TOKENS);
      const expected = await oracle.expected(one);
      this.ledger.sent();
      const sentAt = performance.now();
      const request = () => (one.kind === 'score' ? ask(url, one, HUNG_AFTER_MS) : askBySdk(sdk, one));
      let seen = await request();
      for (let left = this.#retries; left > 0 && isRefused(seen); left -= 1) seen = await request();
      if (seen.text !== '') this.answerBegins();
      this.answers.push({ ...seen, number: one.number, kind: one.kind, sentAt });
      // The SDK does not report `[DONE]`, so a stream that it ends must have the complete text.
      this.ledger.ended(judge(seen, expected, one, { brokenIsError: false }), seen.longestGapMs);
    }
  }
}

/** No engine worked on it. @param {Seen} seen */
function isRefused({ status, broken, text }) {
  return text === '' && (status === 503 || broken !== '');
}

/** @param {OpenAI} sdk @param {Question} question @returns {Promise<Seen>} */
async function askBySdk(sdk, { kind, body }) {
  /** @type {Seen} */
  const seen = {
    status: 0,
    retryAfter: Number.NaN,
    text: '',
    done: false,
    errorTold: false,
    wrong: '',
    broken: '',
    timedOut: false,
    usage: undefined,
    longestGapMs: 0,
    firstAt: 0,
    endedAt: 0,
    detail: '',
  };
  try {
    const request = /** @type {OpenAI.ChatCompletionCreateParams} */ ({ model: 'azureai', ...body });
    if (kind === 'whole') {
      const answer = /** @type {OpenAI.ChatCompletion} */ (await sdk.chat.completions.create(request));
      seen.text = answer.choices[0]?.message.content ?? '';
      seen.usage = answer.usage;
    } else {
      const stream = await sdk.chat.completions.create({ ...request, stream: true });
      let lastAt = 0;
      for await (const { choices, usage } of stream) {
        const now = performance.now();
        if (lastAt > 0) seen.longestGapMs = Math.max(seen.longestGapMs, now - lastAt);
        lastAt = now;
        seen.text += choices[0]?.delta.content ?? '';
        if (usage !== undefined && usage !== null) seen.usage = usage;
      }
    }
    Object.assign(seen, { status: 200, done: true });
  } catch (error) {
    if (error instanceof OpenAI.APIConnectionTimeoutError) seen.timedOut = true;
    else if (error instanceof OpenAI.APIConnectionError) seen.broken = causesOf(error).join(': ');
    else if (error instanceof OpenAI.APIError) Object.assign(seen, { errorTold: true, status: error.status ?? 200 });
    else seen.broken = String(error);
    seen.detail = String(error);
  }
  seen.endedAt = performance.now();
  return seen;
}

/** What undici knows about a broken connection is in the cause of a cause. @param {unknown} error @returns {string[]} */
function causesOf(error) {
  return error instanceof Error ? [String(error), ...causesOf(error.cause)] : [];
}
