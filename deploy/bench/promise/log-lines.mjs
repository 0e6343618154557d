// @ts-check
import { readFileSync } from 'node:fs';

/** Log lines of one event. @param {string} file @param {string} event @returns {any[]} */
export function linesOf(file, event) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line));
}

/**
 * @typedef {object} Wait
 * @property {string} requestId
 * @property {number} waited ms in the queue
 * @property {number | undefined} told ms, as the gateway estimated it when it let the request in
 */

/** Waits in the queue, by the request id that its caller got. @param {import('./stack.mjs').Stack} stack @returns {Map<string, Wait>} */
export function realWaits({ logs }) {
  const lines = logs.gateways.flatMap((file) => linesOf(file, 'request'));
  return new Map(
    lines
      .filter(({ claimedMs }) => claimedMs !== undefined)
      .map(({ requestId, callerRequestId, enqueuedMs, claimedMs, estimateMs }) => [
        String(callerRequestId),
        { requestId, waited: claimedMs - (enqueuedMs ?? 0), told: estimateMs },
      ]),
  );
}
