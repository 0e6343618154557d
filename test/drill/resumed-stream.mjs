// @ts-check
import { Agent, request } from 'undici';
import { pause } from './processes.mjs';

/**
 * An API whose streams can be had again. `id:` lines, numbers of events, or only from the start.
 * @typedef {object} Api
 * @property {string} name
 * @property {string} path
 * @property {(text: string, tokens: number) => object} body
 * @property {(event: any) => string} textOf an event's part of the text
 * @property {(last: string) => boolean} isEnd whether the last event says that the answer is complete
 * @property {boolean} goesOn whether an answer that lost its engine can be continued
 * @property {'last-event-id' | 'starting_after' | 'start'} resumedBy
 */

/** @param {string} text */
const messages = (text) => [{ role: 'user', content: text }];
/** @param {string} text @param {number} tokens */
const chat = (text, tokens) => ({ messages: messages(text), max_tokens: tokens, temperature: 0, stream: true });
/** @param {any} event */
const chatText = (event) => event.choices?.[0]?.delta?.content ?? '';
/** @param {string} last */
const isDone = (last) => last.endsWith('data: [DONE]\n\n');
const MODEL = 'Phi-3-vision-128k-instruct';

/** @type {readonly Api[]} */
export const APIS = [
  {
    name: 'chat',
    path: '/v1/chat/completions',
    body: chat,
    textOf: chatText,
    isEnd: isDone,
    goesOn: true,
    resumedBy: 'last-event-id',
  },
  {
    name: 'azure_openai',
    path: `/openai/deployments/${MODEL}/chat/completions?api-version=2024-10-21`,
    body: chat,
    textOf: chatText,
    isEnd: isDone,
    goesOn: true,
    resumedBy: 'last-event-id',
  },
  {
    name: 'inference',
    path: '/chat/completions',
    body: chat,
    textOf: chatText,
    isEnd: isDone,
    goesOn: true,
    resumedBy: 'start',
  },
  {
    name: 'messages',
    path: '/v1/messages',
    body: (text, tokens) => ({ model: MODEL, ...chat(text, tokens) }),
    textOf: (event) => event.delta?.text ?? '',
    isEnd: (last) => last.startsWith('event: message_stop'),
    goesOn: true,
    resumedBy: 'start',
  },
  {
    name: 'completions',
    path: '/v1/completions',
    body: (text, tokens) => ({ prompt: text, max_tokens: tokens, temperature: 0, stream: true }),
    textOf: (event) => event.choices?.[0]?.text ?? '',
    isEnd: isDone,
    goesOn: false,
    resumedBy: 'last-event-id',
  },
  {
    name: 'responses',
    path: '/v1/responses',
    body: (text, tokens) => ({
      input: text,
      max_output_tokens: tokens,
      temperature: 0,
      stream: true,
      background: true,
    }),
    textOf: (event) => (event.type === 'response.output_text.delta' ? event.delta : ''),
    isEnd: (last) => last.startsWith('event: response.completed'),
    goesOn: false,
    resumedBy: 'starting_after',
  },
];

/** One connection per request, so that a fault of one does not affect others. */
const agent = new Agent({ pipelining: 0, headersTimeout: 0, bodyTimeout: 0, connections: null });
/** Events in the place of comments: they say nothing, and each reader has its own. */
const KEEPS_OPEN = /^event: ping\n|"delta":\{"content":""\},"logprobs":null,"finish_reason":null/;
/** A client tries again after this, in ms. */
const AGAIN_MS = 200;
const ERROR_EVENT = /^(id: .*\n)?(data: \{"error"|event: (error|response\.(failed|cancelled))\n)/;

/** One stream, and the client that reads it over several connections. */
export class ResumedStream {
  /** complete events that the client has, without comments @type {string[]} */
  events = [];
  /** longest time without a byte, in ms, while the client tried to read */
  longestGapMs = 0;
  /** a fault that no client should see; empty if none */
  wrong = '';
  #lastAt = performance.now();
  /** @type {string | undefined} */
  #failure;
  #api;
  #key;
  #body;

  /** @param {Api} api @param {string} key @param {string} text @param {number} tokens */
  constructor(api, key, text, tokens) {
    this.#api = api;
    this.#key = key;
    this.#body = JSON.stringify(api.body(text, tokens));
  }

  get isOver() {
    const last = this.events.at(-1) ?? '';
    return this.wrong !== '' || this.failure !== undefined || this.#api.isEnd(last);
  }
  /** why it cannot be completed, as an error event or a status says; undefined: it does not say so */
  get failure() {
    const last = this.events.at(-1) ?? '';
    return this.#failure ?? (ERROR_EVENT.test(last) ? (/"code":"(\w+)"/.exec(last)?.[1] ?? 'unnamed') : undefined);
  }
  get text() {
    return this.#pieces.join('');
  }
  /** The simulator's engines write one token an event. */
  get tokens() {
    return this.#pieces.filter((piece) => piece !== '').length;
  }
  get #pieces() {
    return this.events
      .flatMap((event) => /^data: (\{.*)$/m.exec(event)?.[1] ?? [])
      .map((json) => this.#api.textOf(JSON.parse(json)));
  }

  /**
   * Reads until the end of the answer, or until the connection is cut.
   * @param {string} url @param {number} [cutAfter] bytes of this connection
   */
  async read(url, cutAfter = Infinity) {
    const stop = new AbortController();
    const { method, path, headers, body, isRest } = this.#next();
    /** @type {string[]} */
    const fresh = [];
    let rest = '';
    let bytes = 0;
    try {
      const options = { method, headers, body, dispatcher: agent, signal: stop.signal };
      const res = await request(url + path, options);
      if (res.statusCode !== 200) return await this.#refused(res);
      const decoder = new TextDecoder();
      for await (const piece of res.body) {
        this.#heard();
        rest += decoder.decode(piece, { stream: true });
        const events = rest.split(/(?<=\n\n)/);
        rest = events.at(-1)?.endsWith('\n\n') === false ? (events.pop() ?? '') : '';
        for (const event of events) {
          const bare = event.replace(/^(:.*\n+)+/, '');
          if (bare !== '' && !KEEPS_OPEN.test(bare)) fresh.push(bare);
        }
        if (!isRest) this.#compare(fresh);
        bytes += piece.length;
        if (bytes > cutAfter) stop.abort();
      }
    } catch {
      // A broken connection; the client comes again.
      if (cutAfter === Infinity) await pause(AGAIN_MS);
    }
    if (isRest) this.events.push(...fresh);
    else if (fresh.length > this.events.length) this.events = fresh;
    // Its gateway died before the request was in the queue: the same request runs then.
    if (this.failure === 'body_lost' && this.text === '') this.events = [];
  }

  /** The request that gets what the client lacks. */
  #next() {
    const { path, resumedBy } = this.#api;
    const json = { 'content-type': 'application/json' };
    const last = this.events.at(-1) ?? '';
    const post = { method: /** @type {const} */ ('POST'), path, body: this.#body };
    if (resumedBy === 'starting_after') {
      const [first] = this.events;
      const id = /"id":"(resp_[0-9a-f]+)"/.exec(first ?? '')?.[1];
      const headers = { ...json, 'idempotency-key': this.#key };
      if (id === undefined) return { ...post, headers, isRest: true };
      const number = /"sequence_number":(\d+)/.exec(last)?.[1];
      const rest = `/v1/responses/${id}?stream=true&starting_after=${number}`;
      return { method: /** @type {const} */ ('GET'), path: rest, headers: {}, body: null, isRest: true };
    }
    const id = /^id: (.*)$/m.exec(last)?.[1];
    const isRest = resumedBy === 'last-event-id' && id !== undefined;
    const headers = { ...json, 'idempotency-key': this.#key, ...(isRest ? { 'last-event-id': id } : {}) };
    return { ...post, headers, isRest };
  }

  #heard() {
    const now = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastAt);
    this.#lastAt = now;
  }

  /** A stream from its start begins with what the client has. @param {readonly string[]} fresh */
  #compare(fresh) {
    const at = this.events.findIndex((event, index) => index < fresh.length && fresh[index] !== event);
    if (at >= 0 && this.failure === undefined) this.wrong = `event ${at} is ${fresh[at]}, and was ${this.events[at]}`;
  }

  /** @param {import('undici').Dispatcher.ResponseData} res */
  async #refused(res) {
    const text = await res.body.text();
    if (res.headers['x-should-retry'] === 'true' || [429, 503].includes(res.statusCode)) return pause(AGAIN_MS);
    const code = /"code":"(\w+)"/.exec(text)?.[1];
    if (res.statusCode < 500 || code === undefined) this.wrong = `${res.statusCode} ${text.slice(0, 200)}`;
    else this.#failure = code;
  }
}
