// @ts-check
/**
 * A client process of `run.mjs`: keeps some streams open until a stop message, and reports its measurements. It is forked, so
 * that several processes read many streams and the reading does not limit the measurement.
 */
import { setMaxListeners } from 'node:events';
import { Agent, request } from 'undici';
import { picture, prompt } from './requests.mjs';

/**
 * @typedef {object} Order
 * @property {'order'} type
 * @property {readonly string[]} urls stream number i uses the i-th, modulo their number
 * @property {number} from number of the first stream of this client
 * @property {number} streams
 * @property {number} everyMs between the starts of two streams of all clients
 * @property {number} seed
 * @property {string} model
 * @property {number} words
 * @property {number} tokens length of an answer
 * @property {boolean} mixed the first answer of each stream is shorter, so that streams do not end in step
 * @property {number} requests of each stream; 0: until it is stopped
 * @property {number} pictures to prepare, each for one request; 0: text only
 * @property {readonly [number, number]} size of a picture
 *
 * @typedef {object} Record The result of one request; instants are ms since 1970, 0 if never reached.
 * @property {number} startedAt
 * @property {number} firstAt
 * @property {number} endedAt
 * @property {number} chunks
 * @property {number} longestGapMs between two events
 * @property {number} tokens from the answer's usage; 0 without usage
 * @property {'whole' | 'stopped' | string} outcome any other text is the reason of a failure
 *
 * @typedef {{ type: 'done', records: Record[], chunks: [quarterSecond: number, count: number][] }} Report
 */

const PATH = '/v1/chat/completions';
/** Bytes kept of an answer's end: at least its last two events. */
const TAIL = 2_000;
const now = () => performance.timeOrigin + performance.now();

/** @type {{ stop: () => void, go: () => void } | undefined} */
let current;

process.on('message', (/** @type {Order | { type: 'go' } | { type: 'stop' }} */ message) => {
  if (message.type === 'order') current = prepare(message);
  else if (message.type === 'go') current?.go();
  else current?.stop();
});
process.on('disconnect', () => process.exit(0));
process.send?.({ type: 'up' });

/** @param {Order} order */
function prepare(order) {
  const agent = new Agent({ pipelining: 1, connections: null, headersTimeout: 0, bodyTimeout: 0 });
  const uris = Array.from({ length: order.pictures }, (_, i) =>
    picture(order.seed + order.from * 1_000 + i, ...order.size),
  );
  /** @type {Record[]} */
  const records = [];
  /** @type {Map<number, number>} */
  const counts = new Map();
  const stopped = new AbortController();
  setMaxListeners(0, stopped.signal);
  let asked = 0;

  /** @param {number} stream @param {number} round */
  const body = (stream, round) => {
    const text = prompt(order.seed + stream * 10_007 + round * 101, order.words);
    const uri = order.pictures === 0 ? undefined : uris[asked++ % uris.length];
    const content =
      uri === undefined
        ? text
        : [
            { type: 'image_url', image_url: { url: uri } },
            { type: 'text', text },
          ];
    const first = order.mixed && round === 0 ? Math.ceil((order.tokens * ((stream * 37) % 64)) / 64) + 1 : order.tokens;
    return JSON.stringify({
      model: order.model,
      messages: [{ role: 'user', content }],
      max_tokens: first,
      ignore_eos: true,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
  };

  /** @param {string} url @param {string} payload */
  const ask = async (url, payload) => {
    const startedAt = now();
    /** @type {Record} */
    const seen = { startedAt, firstAt: 0, endedAt: 0, chunks: 0, longestGapMs: 0, tokens: 0, outcome: '' };
    let tail = '';
    let lastAt = 0;
    try {
      const headers = { 'content-type': 'application/json' };
      const answer = await request(`${url}${PATH}`, {
        method: 'POST',
        headers,
        body: payload,
        dispatcher: agent,
        signal: stopped.signal,
      });
      for await (const piece of answer.body) {
        const at = now();
        const text = String(piece);
        const events = text.split('data: {').length - 1;
        // A comment keeps a connection open but is not progress for the reader.
        if (events > 0) {
          if (seen.firstAt === 0) seen.firstAt = at;
          else seen.longestGapMs = Math.max(seen.longestGapMs, at - lastAt);
          lastAt = at;
        }
        seen.chunks += events;
        const quarter = Math.floor(at / 250);
        counts.set(quarter, (counts.get(quarter) ?? 0) + events);
        tail = (tail + text).slice(-TAIL);
        const error = /data: \{"error".{0,200}/.exec(tail);
        if (error !== null) seen.outcome = error[0];
      }
      if (seen.outcome === '' && answer.statusCode !== 200) seen.outcome = `${answer.statusCode} ${tail.slice(0, 200)}`;
      if (seen.outcome === '')
        seen.outcome = tail.trimEnd().endsWith('data: [DONE]') ? 'whole' : `no [DONE]: ${tail.slice(-80)}`;
      seen.tokens = Number(/"completion_tokens":(\d+)/.exec(tail)?.[1] ?? 0);
    } catch (error) {
      seen.outcome = stopped.signal.aborted ? 'stopped' : String(error);
    }
    seen.endedAt = now();
    records.push(seen);
    return seen.outcome;
  };

  /** @param {number} stream */
  const run = async (stream) => {
    const url = order.urls[stream % order.urls.length] ?? '';
    await new Promise((resolve) => setTimeout(resolve, order.everyMs * stream));
    for (let round = 0; !stopped.signal.aborted && (order.requests === 0 || round < order.requests); round += 1) {
      const outcome = await ask(url, body(stream, round));
      // A refusal must not cause a storm of retries.
      if (outcome !== 'whole' && outcome !== 'stopped') await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };

  const go = async () => {
    await Promise.all(Array.from({ length: order.streams }, (_, i) => run(order.from + i)));
    await agent.destroy();
    process.send?.({ type: 'done', records, chunks: [...counts] });
  };
  process.send?.({ type: 'ready' });
  return { go: () => void go(), stop: () => stopped.abort() };
}
