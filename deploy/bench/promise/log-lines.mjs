// @ts-check
import { readFileSync } from 'node:fs';

/** Log lines of one event. @param {string} file @param {string} event @returns {any[]} */
export function linesOf(file, event) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line));
}

/** Waits in the queue in ms, by the request id that its caller got. @param {import('./stack.mjs').Stack} stack @returns {Map<string, number>} */
export function realWaits({ logs }) {
  const lines = logs.gateways.flatMap((file) => linesOf(file, 'request'));
  return new Map(
    lines
      .filter(({ claimedMs }) => claimedMs !== undefined)
      .map(({ callerRequestId, enqueuedMs, claimedMs }) => [String(callerRequestId), claimedMs - (enqueuedMs ?? 0)]),
  );
}
