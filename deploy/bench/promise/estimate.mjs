// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { Callers } from './caller.mjs';
import { percent, quantile, rounded, seconds } from './figures.mjs';
import { realWaits } from './log-lines.mjs';
import { lengthsOf, randomOf } from './load.mjs';
import { startStack, sumOf } from './stack.mjs';

/** Load and mix are steady for this long before a wait is judged, in seconds. */
const WARM_UP_SECONDS = 20;
/** Shorter waits are not judged, in ms. */
const LEAST_WAIT_MS = 1_000;
/** A caller thinks about an answer for this long on average, in ms. */
const THINK_MS = 2_000;
const LONG_TOKENS = 4_096;
/** Calls that wait at a time, for each slot. */
const CALLERS_A_SLOT = 5;

/**
 * @typedef {import('./caller.mjs').Try} Try
 * @typedef {object} Mix
 * @property {Record<string, number>} callers of each key, as a share of all
 * @property {string} [long] the key that always says `max_tokens` 4,096
 */

/** @type {Mix} */
export const THREE_KEYS = { callers: { a: 1, b: 1, c: 1 } };
/** @type {Record<string, Mix>} */
export const MIXES = {
  'one key': { callers: { a: 1 } },
  'three keys': THREE_KEYS,
  'three keys, one says 4096': { callers: { a: 1, b: 1, long: 0.1 }, long: 'long' },
  'twenty keys, Zipf': {
    callers: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, 1 / (i + 1)])),
  },
};

/**
 * The reported wait against the real one.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds @param {Mix} mix
 * @returns {Promise<import('./figures.mjs').Figures>}
 */
export async function measureEstimate(size, forSeconds, { callers: shares, long }) {
  const keys = Object.fromEntries(Object.keys(shares).map((id) => [id, 1]));
  const stack = await startStack({ size, keys });
  const callers = new Callers(stack);
  try {
    const all = sumOf(Object.values(shares));
    const random = randomOf(1);
    const startedAt = performance.now();
    const until = startedAt + (WARM_UP_SECONDS + forSeconds) * 1_000;
    /** @type {{ key: string, one: Try }[]} */
    const answers = [];
    const caller = async (/** @type {string} */ key, /** @type {() => number} */ length) => {
      await pause(random() * THINK_MS);
      while (performance.now() < until) {
        const { tries } = await callers.ask({
          key,
          tokens: length(),
          stream: random() < 0.5,
          ...(key === long ? { maxTokens: LONG_TOKENS } : {}),
        });
        const one = tries.at(-1);
        if (one?.status === 200) answers.push({ key, one });
        await pause(-Math.log(1 - random()) * THINK_MS);
      }
    };
    const running = Object.entries(shares).flatMap(([key, share]) => {
      const count = Math.max(1, Math.round((stack.slots * CALLERS_A_SLOT * share) / all));
      return Array.from({ length: count }, () => caller(key, lengthsOf(random)));
    });
    await Promise.race([Promise.all(running), pause(until - startedAt + 120_000, undefined, { ref: false })]);
    const logged = realWaits(stack);
    const from = startedAt + WARM_UP_SECONDS * 1_000;
    const waits = answers
      // Afterwards the load falls, which no estimate knows.
      .filter(({ one }) => one.startedAt >= from && one.endedAt <= until)
      .flatMap(({ key, one }) => {
        const wait = logged.get(one.headers['x-request-id'] ?? '');
        return wait !== undefined && wait.waited > LEAST_WAIT_MS ? [{ key, ...wait }] : [];
      });
    const errorsOf = (/** @type {typeof waits} */ some) =>
      some.flatMap(({ told, waited }) => (told === undefined ? [] : [Math.abs(told - waited) / waited]));
    const errors = errorsOf(waits);
    const toLong = waits.filter(({ key }) => key === long);
    return {
      'answers judged': waits.length,
      'of these with an estimate': errors.length,
      'real wait p50': seconds(
        quantile(
          waits.map(({ waited }) => waited),
          0.5,
        ),
      ),
      'error p50': percent(quantile(errors, 0.5)),
      'error p95': percent(quantile(errors, 0.95)),
      'told over real, mean': rounded(
        sumOf(waits.map(({ told = Number.NaN, waited }) => told / waited)) / waits.length,
      ),
      ...(long === undefined
        ? {}
        : {
            'key that says 4096: answers judged': toLong.length,
            'key that says 4096: error p50': percent(quantile(errorsOf(toLong), 0.5)),
          }),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}
