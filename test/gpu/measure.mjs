// @ts-check
import { request } from 'undici';
import { pause, until } from '../drill/processes.mjs';
import { median, quantile } from './load.mjs';
import { busy, rates, readMeters } from './meters.mjs';
import { picture, prompt } from './requests.mjs';

/**
 * @typedef {object} Bench
 * @property {import('./stack.mjs').Stack} stack
 * @property {import('./load.mjs').Clients} clients
 * @property {string} model
 * @property {number} windowMs
 * @property {number} rampMs
 * @property {number} streams an engine, of text
 * @property {number} pictureStreams an engine
 * @property {readonly [number, number]} pictureSize
 * @property {number} tokens of an answer
 * @property {(line: string) => void} say
 *
 * @typedef {'direct' | 'chain'} Way
 * @typedef {Awaited<ReturnType<typeof measureLoad>>} Measured
 */

const WORDS = 200;
const PICTURE_TOKENS = 64;
/** Maximum rate at which an engine prepared pictures, per second. */
const PICTURES_PER_SECOND = 10;
const QUIET_WITHIN_MS = 30_000;

/**
 * Keeps all engines full for a time, through the gateways or directly and evenly at each engine.
 * @param {Bench} bench @param {Way} way @param {{ seed: number, pictures: boolean }} what
 */
export async function measureLoad(bench, way, { seed, pictures }) {
  const { stack, clients, windowMs, rampMs } = bench;
  const engines = await stack.engineUrls();
  const streams = engines.length * (pictures ? bench.pictureStreams : bench.streams);
  const seconds = (windowMs + rampMs) / 1_000;
  const running = await clients.begin({
    urls: way === 'direct' ? engines : stack.urls,
    streams,
    spreadMs: rampMs / 2,
    seed,
    model: bench.model,
    words: pictures ? 20 : WORDS,
    tokens: pictures ? PICTURE_TOKENS : bench.tokens,
    mixed: true,
    requests: 0,
    pictures: pictures
      ? Math.ceil((streams + PICTURES_PER_SECOND * seconds * engines.length) / clients.pids.length)
      : 0,
    size: bench.pictureSize,
  });
  await pause(rampMs);
  const before = await readMeters(stack, engines, clients.pids);
  await pause(windowMs);
  const after = await readMeters(stack, engines, clients.pids);
  running.stop();
  const seen = (await running.ended).between(before.at, after.at);
  await quiet(engines);
  return { way, streams, ...rates(before, after), ...seen };
}

/** Waits until all engines are idle. @param {readonly string[]} engines */
async function quiet(engines) {
  const isSo = async () => (await Promise.all(engines.map(busy))).every((count) => count === 0);
  await until('the engines are idle', isSo, QUIET_WITHIN_MS);
}

/**
 * Time to the first token of a single stream, alternately direct and through the chain, ms.
 * @param {Bench} bench @param {number} each
 */
export async function measureAlone(bench, each) {
  const [engine = ''] = await bench.stack.engineUrls();
  const [gateway = ''] = bench.stack.urls;
  /** @type {Record<Way, number[]>} */
  const times = { direct: [], chain: [] };
  for (let i = -2; i < each; i += 1) {
    for (const way of /** @type {const} */ (['direct', 'chain'])) {
      const body = {
        ...textBody(bench.model, 900_000 + i * 2 + (way === 'chain' ? 1 : 0)),
        max_tokens: 8,
        stream: true,
      };
      const ttft = await firstChunkMs(way === 'direct' ? engine : gateway, body);
      if (i >= 0) times[way].push(ttft);
    }
  }
  const of = (/** @type {Way} */ way) => ({
    p50: median(times[way]),
    p90: quantile(times[way], 0.9),
    n: times[way].length,
  });
  return { direct: of('direct'), chain: of('chain') };
}

/** @param {string} model @param {number} seed */
function textBody(model, seed) {
  return { model, messages: [{ role: 'user', content: prompt(seed, WORDS) }], ignore_eos: true, temperature: 0 };
}

/** @param {string} url @param {object} body */
async function firstChunkMs(url, body) {
  const startedAt = performance.now();
  const headers = { 'content-type': 'application/json' };
  const answer = await request(`${url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) });
  let first = 0;
  for await (const piece of answer.body)
    if (first === 0 && String(piece).includes('data: {')) first = performance.now();
  if (answer.statusCode !== 200) throw new Error(`${url} answered ${answer.statusCode}`);
  return first - startedAt;
}

/** One picture by both dialects. @param {Bench} bench */
export async function onePicture(bench) {
  const [gateway = ''] = bench.stack.urls;
  const content = [
    { type: 'image_url', image_url: { url: picture(77, ...bench.pictureSize) } },
    { type: 'text', text: 'What is shown in this image?' },
  ];
  const messages = [{ role: 'user', content }];
  const bodies = {
    '/v1/chat/completions': { model: bench.model, messages, max_tokens: 16 },
    '/score': { input_data: { input_string: messages, parameters: { max_new_tokens: 16 } } },
  };
  const answers = [];
  for (const [path, body] of Object.entries(bodies)) {
    const startedAt = performance.now();
    const headers = { 'content-type': 'application/json' };
    const answer = await request(`${gateway}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await answer.body.text();
    const ms = Math.round(performance.now() - startedAt);
    answers.push({ path, status: answer.statusCode, ms, answer: text.slice(0, 600) });
  }
  return answers;
}

/**
 * Kills one engine's processes under streams through the chain, and freezes another's if there are three.
 * @param {Bench} bench @param {{ streams: number, tokens: number, afterMs: number, limitMs: number }} asked
 */
export async function loseEngines(bench, { streams, tokens, afterMs, limitMs }) {
  const { stack, clients } = bench;
  const [killed, frozen] = await stack.engines();
  const engines = (await stack.engineUrls()).length;
  const running = await clients.begin({
    urls: stack.urls,
    streams,
    spreadMs: afterMs / 2,
    seed: 5_000_000,
    model: bench.model,
    words: WORDS,
    tokens,
    mixed: false,
    requests: 1,
    pictures: 0,
    size: bench.pictureSize,
  });
  await pause(afterMs);
  if (killed !== undefined) stack.signalEngine(killed, 'SIGKILL');
  const freezes = frozen !== undefined && engines >= 3;
  if (freezes) stack.signalEngine(frozen, 'SIGSTOP');
  const faultAt = performance.now();
  const patience = setTimeout(running.stop, limitMs);
  const seen = await running.ended;
  clearTimeout(patience);
  const lost = seen.records.filter(({ outcome }) => outcome !== 'whole');
  const back = async () => (await stack.engineUrls()).length === engines;
  const backSeconds = await until('the engine is back', back, limitMs).then(
    () => Math.round(performance.now() - faultAt) / 1_000,
    () => null,
  );
  const lengths = seen.records.filter(({ outcome }) => outcome === 'whole').map(({ tokens: count }) => count);
  return {
    fault: freezes ? 'one engine killed, one frozen' : 'one engine killed',
    streams,
    whole: streams - lost.length,
    lost: lost.length,
    failures: [...new Set(lost.map(({ outcome }) => outcome))].slice(0, 5),
    asked: tokens,
    shortest: Math.min(...lengths),
    longest: Math.max(...lengths),
    longestGapMs: Math.max(0, ...seen.records.map(({ longestGapMs }) => longestGapMs)),
    backSeconds,
  };
}
