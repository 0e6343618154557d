// @ts-check
import { STEADY, TOKEN_MS, chat, loads } from '../compare/loads.mjs';

/** @typedef {import('../compare/loads.mjs').Load} Load */

/** One ND96amsr node: eight engines at their limit. */
export const NODE = { chunksPerSecond: 55_000, requestsPerSecond: 240 };
const OPEN_STREAMS = 5_000;
export const SLOW_TOKEN_MS = 1_000;
/** More than a gateway carries on one core. */
const STREAMS_PER_GATEWAY = 1_500;
const CALLERS_PER_GATEWAY = 256;
const OPEN_RAMP_MS = 5_000;

/** More streams than the gateways carry. @param {number} gateways @param {number} seconds @param {number} share of the full load @returns {Load} */
export function manyStreams(gateways, seconds, share) {
  const concurrency = Math.ceil(STREAMS_PER_GATEWAY * gateways * share);
  const tokens = Math.round((seconds * 1_000) / TOKEN_MS);
  return streams('streams', { concurrency, tokens, seconds, once: true, rampMs: 1_000 });
}

/** @param {number} gateways @param {number} seconds @param {number} share of the full load @returns {Load} */
export function manyRequests(gateways, seconds, share) {
  return plain('requests', Math.ceil(CALLERS_PER_GATEWAY * gateways * share), seconds, 0);
}

/** Each caller sends a stream after the other, so that both rates of a node arise. @param {number} seconds @param {number} share of the full load @returns {Load} */
export function nodeLoad(seconds, share) {
  const tokens = Math.round(NODE.chunksPerSecond / NODE.requestsPerSecond);
  const concurrency = Math.ceil((NODE.chunksPerSecond * share * TOKEN_MS) / 1_000);
  const streamMs = tokens * TOKEN_MS;
  // The last callers have started one stream each before the rates are read.
  return streams('node', { concurrency, tokens, seconds: seconds + streamMs / 1_000, once: false, rampMs: streamMs });
}

/** Many open streams with a slow engine. @param {number} seconds @param {number} share of the full load @returns {Load} */
export function openStreams(seconds, share) {
  const all = Math.round(seconds + OPEN_RAMP_MS / 1_000);
  const concurrency = Math.ceil(OPEN_STREAMS * share);
  return streams('open', { concurrency, tokens: all, seconds: all, once: true, rampMs: OPEN_RAMP_MS });
}

/** Streams, requests and pictures at the same time. @param {number} minutes @param {number} share of the full load @returns {Load[]} */
export function soakLoads(minutes, share) {
  const seconds = minutes * 60;
  const tokens = 100;
  const concurrency = Math.ceil(200 * share);
  const picture = loads({ seconds, streams: 1 }).find(({ name }) => name === 'picture');
  const own = { warmUpSeconds: 0, everyMs: 1_000, rampMs: 1_000 };
  return [
    streams('soak-streams', { concurrency, tokens, seconds, once: false, rampMs: tokens * TOKEN_MS }),
    plain('soak-requests', Math.ceil(50 * share), seconds, 1_000),
    ...(picture === undefined
      ? []
      : [{ ...picture, ...own, name: 'soak-pictures', concurrency: Math.ceil(2 * share) }]),
  ];
}

/** @param {string} name @param {Pick<Load, 'concurrency' | 'seconds' | 'once' | 'rampMs'> & { tokens: number }} size @returns {Load} */
function streams(name, size) {
  return { ...STEADY, ...size, name, heading: name, warmUpSeconds: 0, body: () => chat(size.tokens, true) };
}

/** @param {string} name @param {number} concurrency @param {number} seconds @param {number} everyMs @returns {Load} */
function plain(name, concurrency, seconds, everyMs) {
  const warmUpSeconds = everyMs === 0 ? 2 : 0;
  const body = () => chat(16, false);
  return {
    ...STEADY,
    name,
    heading: name,
    concurrency,
    tokens: null,
    seconds,
    warmUpSeconds,
    everyMs,
    rampMs: everyMs,
    body,
  };
}
