// @ts-check
/**
 * The caller of `npm run bench`: a process of its own that keeps N requests running over keep-alive connections. Its parent sends
 * the order by IPC, reads CPU times at each message, and gets the figures at the end.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Histogram } from '../compare/histogram.mjs';
import { AnswerReader } from './answer-reader.mjs';

/**
 * @typedef {object} Order
 * @property {number} port
 * @property {Record<string, string>} headers
 * @property {string} bodyFile
 * @property {number} concurrency
 * @property {number} seconds how long requests start; each stream is as long as this
 * @property {number} warmUpSeconds
 * @property {number | null} tokens of a complete stream; null: not streamed
 * @property {boolean} once each caller sends one request only
 * @property {number} rampMs callers start one after the other within this time
 * @property {number} everyMs a caller sends its next request not before this time after the last one
 *
 * @typedef {object} Figures
 * @property {number} ok @property {number} wallSeconds @property {number} chunks @property {number} incomplete
 * @property {Record<string, number>} errors
 * @property {Uint32Array} latency counts of a histogram
 * @property {Uint32Array} firstToken @property {Uint32Array} gap
 */

/** All streams run from this time after the last start. */
const SETTLE_MS = 500;
/** An answer that makes no progress for this long is an error. */
const SILENCE_MS = 20_000;
/** After the time of the load, running answers get this long. */
const GRACE_MS = 30_000;
const HAS_TEXT = /"content": ?"(?!")/;
/** One buffer for all connections, because each read is used before the next one. */
const shared = Buffer.alloc(64 * 1_024);

/** @param {Order} order */
const requestBytes = ({ headers, bodyFile, port }) => {
  const body = readFileSync(bodyFile);
  const lines = Object.entries({ host: `127.0.0.1:${port}`, 'content-type': 'application/json', ...headers });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([
    Buffer.from(`POST /v1/chat/completions HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n`),
    body,
  ]);
};

const fresh = () => ({
  ok: 0,
  chunks: 0,
  incomplete: 0,
  /** @type {Record<string, number>} */
  errors: {},
  latency: new Histogram(),
  firstToken: new Histogram(),
  gap: new Histogram(),
});
let count = fresh();
/** @param {string} reason */
const failed = (reason) => {
  count.errors[reason] = (count.errors[reason] ?? 0) + 1;
};

/**
 * One caller with one connection: it sends the next request when the last answer is complete, until `until`.
 * @param {Order} order @param {Buffer} request @param {number} until @param {boolean} once
 * @returns {Promise<void>}
 */
const caller = (order, request, until, once) =>
  new Promise((done) => {
    const streamed = order.tokens !== null;
    let startedAt = 0;
    let lastAt = 0;
    let tokens = 0;
    let marked = false;
    let text = '';
    let line = '';
    let running = false;
    let reader = new AnswerReader();
    /** @type {import('node:net').Socket} */
    let socket;

    /** @param {string} piece */
    const onBody = (piece) => {
      if (!streamed) {
        text += piece;
        return;
      }
      const now = performance.now();
      line += piece;
      for (let end = line.indexOf('\n'); end !== -1; end = line.indexOf('\n')) {
        const one = line.slice(0, end);
        line = line.slice(end + 1);
        if (!one.startsWith('data:')) continue;
        if (HAS_TEXT.test(one)) {
          if (tokens === 0) count.firstToken.add(now - startedAt);
          else count.gap.add(now - lastAt);
          lastAt = now;
          tokens += 1;
          count.chunks += 1;
        } else if (one.includes('[DONE]')) {
          marked = true;
        }
      }
    };
    const complete = () => {
      if (reader.status !== 200) return `status ${reader.status}`;
      if (!streamed) return text.includes('"choices"') ? undefined : 'no answer in a 200';
      return marked && tokens === order.tokens ? undefined : 'incomplete';
    };
    const finish = () => {
      running = false;
      const problem = complete();
      if (problem === 'incomplete') count.incomplete += 1;
      if (problem === undefined) {
        count.ok += 1;
        count.latency.add(performance.now() - startedAt);
      } else failed(problem);
      const wait = startedAt + order.everyMs - performance.now();
      if (reader.closes) socket.destroy();
      else if (wait > 0) setTimeout(next, wait);
      else next();
    };
    const next = () => {
      if (startedAt > 0 && (once || performance.now() >= until)) {
        socket.destroy();
        return;
      }
      if (socket.destroyed) return;
      startedAt = performance.now();
      tokens = 0;
      marked = false;
      text = '';
      line = '';
      running = true;
      socket.write(request);
    };
    const open = () => {
      reader = new AnswerReader();
      socket = connect({
        host: '127.0.0.1',
        port: order.port,
        noDelay: true,
        onread: {
          buffer: shared,
          callback: (size) => {
            if (reader.feed(shared.toString('latin1', 0, size), onBody)) finish();
            return true;
          },
        },
      });
      socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error('no progress')));
      socket.on('connect', next);
      socket.on('error', (error) => {
        if (running) failed('code' in error ? String(error.code) : error.message);
        else failed('no connection');
        running = false;
        startedAt ||= 1;
      });
      socket.on('close', () => {
        if (running && reader.endsWithConnection) finish();
        else if (running) {
          failed('closed early');
          if (streamed) count.incomplete += 1;
        }
        running = false;
        if (!once && performance.now() < until) setTimeout(open, 5);
        else done();
      });
    };
    open();
  });

/** @param {Order} order @param {Buffer} request @param {number} seconds @param {boolean} once */
const callers = async (order, request, seconds, once) => {
  const until = performance.now() + seconds * 1_000;
  const spread = order.rampMs / order.concurrency;
  const all = Array.from({ length: order.concurrency }, async (_, i) => {
    if (spread > 0) await new Promise((go) => setTimeout(go, spread * i));
    await caller(order, request, until, once);
  });
  let timer;
  const late = new Promise((give) => (timer = setTimeout(give, seconds * 1_000 + GRACE_MS)));
  await Promise.race([Promise.all(all), late]);
  clearTimeout(timer);
};

/** @param {string} kind @param {object} [more] */
const report = (kind, more = {}) => process.send?.({ kind, chunks: count.chunks, ok: count.ok, ...more });

/** @param {Order} order */
const work = async (order) => {
  const request = requestBytes(order);
  if (order.warmUpSeconds > 0) await callers(order, request, order.warmUpSeconds, false);
  const { errors: warmUpErrors } = count;
  report('warm', { warmUpErrors });
  await new Promise((go) => process.once('message', go));
  count = fresh();
  const startedAt = performance.now();
  setTimeout(() => report('steady-begins'), order.rampMs + SETTLE_MS);
  setTimeout(() => report('steady-ends'), order.seconds * 1_000 - SETTLE_MS / 2);
  await callers(order, request, order.seconds, order.once);
  const { ok, chunks, incomplete, errors } = count;
  /** @type {Figures} */
  const figures = {
    ok,
    chunks,
    incomplete,
    errors,
    wallSeconds: (performance.now() - startedAt) / 1_000,
    latency: count.latency.counts,
    firstToken: count.firstToken.counts,
    gap: count.gap.counts,
  };
  report('done', { figures });
};

process.once('message', (/** @type {Order} */ order) => {
  void work(order).catch((error) => {
    console.error(error);
    process.exit(1);
  });
});
process.once('disconnect', () => process.exit(0));
