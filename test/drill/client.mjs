// @ts-check
import { Agent, request } from 'undici';

/**
 * A client's result of one request.
 * @typedef {object} Seen
 * @property {number} status 0 without a response head
 * @property {string} text of all deltas, or of the complete answer
 * @property {number} retryAfter seconds of its header; NaN without one
 * @property {boolean} done `[DONE]` arrived
 * @property {boolean} errorTold an error in the dialect's form: as the body of a status ≥ 400, or as an event
 * @property {string} wrong a fault that no client should see, such as an event that is not JSON; empty if none
 * @property {string} broken why the connection broke; empty if it did not
 * @property {boolean} timedOut
 * @property {{ prompt_tokens: number, completion_tokens: number } | undefined} usage
 * @property {number} longestGapMs between two pieces of the body
 * @property {number} firstAt instant (ms, monotonic) of the first piece of the body, 0 without one
 * @property {number} endedAt
 * @property {string} detail for people
 */

/** One connection per request, so that a fault of one does not affect others. */
const agent = new Agent({ pipelining: 0, headersTimeout: 0, bodyTimeout: 0, connections: null });

/**
 * Sends one question and reads the complete answer. A server's fault never throws.
 * @param {string} url @param {import('./questions.mjs').Question} question @param {number} hungAfterMs
 * @param {{ onFirst?: () => void }} [events]
 * @returns {Promise<Seen>}
 */
export async function ask(url, question, hungAfterMs, { onFirst = () => {} } = {}) {
  const reader = question.kind === 'stream' ? new StreamReader() : new WholeReader(question.kind);
  const patience = AbortSignal.timeout(hungAfterMs);
  let [status, longestGapMs, firstAt, lastAt] = [0, 0, 0, 0];
  let broken = '';
  let retryAfter = Number.NaN;
  try {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify(question.body);
    const options = /** @type {const} */ ({ method: 'POST', headers, body, dispatcher: agent, signal: patience });
    const res = await request(`${url}${question.path}`, options);
    status = res.statusCode;
    retryAfter = Number(res.headers['retry-after'] ?? Number.NaN);
    reader.head(status, res.headers);
    for await (const piece of res.body) {
      const now = performance.now();
      if (firstAt === 0) {
        firstAt = now;
        onFirst();
      } else longestGapMs = Math.max(longestGapMs, now - lastAt);
      lastAt = now;
      reader.take(piece);
    }
    reader.end();
  } catch (error) {
    broken = patience.aborted ? '' : String(error);
  }
  const timedOut = patience.aborted;
  const { text, done, errorTold, wrong, usage, detail } = reader;
  const times = { longestGapMs, firstAt, endedAt: performance.now() };
  return { status, retryAfter, text, done, errorTold, wrong, broken, timedOut, usage, detail, ...times };
}

/** Reads Server-Sent Events like a strict client. */
class StreamReader {
  text = '';
  done = false;
  errorTold = false;
  wrong = '';
  detail = '';
  /** @type {Seen['usage']} */
  usage;
  #decoder = new TextDecoder();
  #rest = '';
  #isStream = false;
  #status = 0;
  #roles = 0;
  /** @type {Set<string>} */
  #names = new Set();

  /** @param {number} status @param {import('undici').Dispatcher.ResponseData['headers']} headers */
  head(status, headers) {
    this.#status = status;
    this.#isStream = status === 200;
    if (this.#isStream && !String(headers['content-type']).startsWith('text/event-stream')) this.wrong = 'not a stream';
  }

  /** @param {Buffer} piece */
  take(piece) {
    this.#rest += this.#decoder.decode(piece, { stream: true });
    if (!this.#isStream) return;
    const events = this.#rest.split('\n\n');
    this.#rest = events.pop() ?? '';
    for (const event of events) this.#event(event);
  }

  end() {
    if (!this.#isStream) {
      this.errorTold = isErrorBody(this.#rest);
      this.detail = `${this.#status} ${this.#rest.slice(0, 200)}`;
    } else if (this.#rest !== '') this.wrong = `half an event at the end: ${this.#rest.slice(0, 80)}`;
    else if (this.#roles > 1) this.wrong = 'a second role';
    else if (this.#names.size > 1) this.wrong = `several ids: ${[...this.#names].join(' ')}`;
  }

  /** @param {string} event */
  #event(event) {
    if (event.startsWith(':')) return;
    if (this.done || this.errorTold) this.wrong = `after the end came ${event.slice(0, 80)}`;
    else if (event === 'data: [DONE]') this.done = true;
    else if (event.startsWith('data: {"error"')) {
      this.errorTold = isErrorBody(event.slice(6));
      this.detail = event;
    } else this.#chunk(event);
  }

  /** @param {string} event */
  #chunk(event) {
    try {
      const { id, created, model, choices, usage } = JSON.parse(event.replace(/^data: /, ''));
      this.#names.add(`${id}/${created}/${model}`);
      if (usage !== undefined && usage !== null) this.usage = usage;
      const delta = choices[0]?.delta;
      if (delta?.role !== undefined) this.#roles += 1;
      this.text += delta?.content ?? '';
    } catch {
      this.wrong = `not an event: ${event.slice(0, 80)}`;
    }
  }
}

class WholeReader {
  text = '';
  done = false;
  errorTold = false;
  wrong = '';
  detail = '';
  /** @type {Seen['usage']} */
  usage;
  #kind;
  /** @type {Buffer[]} */
  #pieces = [];
  #status = 0;
  #isPlain = false;

  /** @param {'whole' | 'score'} kind */
  constructor(kind) {
    this.#kind = kind;
  }

  /** @param {number} status @param {import('undici').Dispatcher.ResponseData['headers']} headers */
  head(status, headers) {
    this.#status = status;
    this.#isPlain = String(headers['content-type']).startsWith('text/plain');
  }

  /** @param {Buffer} piece */
  take(piece) {
    this.#pieces.push(piece);
  }

  end() {
    const body = Buffer.concat(this.#pieces).toString();
    if (this.#status !== 200) {
      // Azure's endpoint answers a 429 with an empty text.
      const isAzures429 = this.#kind === 'score' && this.#status === 429 && this.#isPlain;
      this.errorTold = isAzures429 || isErrorBody(body);
      this.detail = `${this.#status} ${body.slice(0, 200)}`;
      return;
    }
    try {
      const answer = JSON.parse(body);
      this.text = this.#kind === 'score' ? answer.output : answer.choices[0].message.content;
      this.usage = answer.usage;
      this.done = true;
    } catch {
      this.wrong = `not an answer: ${body.slice(0, 80)}`;
    }
  }
}

/** In both dialects an error is an object with a code and a message. @param {string} text */
function isErrorBody(text) {
  try {
    const { error } = JSON.parse(text);
    return typeof error.code === 'string' && typeof error.message === 'string' && error.message !== '';
  } catch {
    return false;
  }
}
