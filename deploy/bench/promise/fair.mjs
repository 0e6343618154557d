// @ts-check
import { redisKeys } from '#contract/redis-keys';
import { Callers } from './caller.mjs';
import { percent, quantile, rounded, seconds, shareOf } from './figures.mjs';
import { busyShare, heldSlots } from './held-slots.mjs';
import { lateStarts, lengthsOf, offer, randomOf, saturate } from './load.mjs';
import { realWaits } from './log-lines.mjs';
import { MODEL, startStack } from './stack.mjs';

const SEED = 4;
const SETTLE_MS = 5_000;
/** Load of the light key, and how many times as much the heavy one offers. */
const LIGHT_OF_CAPACITY = 0.25;
const HEAVY_TIMES = 10;
/** For taking a job itself. */
const SLACK_MS = 10;
const TIERS = ['priority', 'default', 'flex'];

/** @typedef {import('./caller.mjs').Record_} Record_ */

/** @param {import('./stack.mjs').Size} size @param {number} slots calls a second, if the engines do nothing else */
const idealCapacity = ({ tokenMs }, slots) => (slots * 1_000) / (tokenMs * 10.5);

/**
 * A key that offers ten times what another does.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds
 * @param {number} weight of both keys: a small one makes virtual time run so fast that all priorities are lowered several times
 * @returns {Promise<import('./figures.mjs').Figures>}
 */
export async function measureFair(size, forSeconds, weight) {
  const stack = await startStack({ size, keys: { light: weight, heavy: weight } });
  const callers = new Callers(stack);
  try {
    const capacity = idealCapacity(size, stack.slots);
    const random = randomOf(SEED);
    const [lightLength, heavyLength] = [lengthsOf(random), lengthsOf(random)];
    const rate = capacity * LIGHT_OF_CAPACITY;
    const startedAt = performance.now();
    const [light] = await Promise.all([
      offer(rate, forSeconds, random, () => callers.ask({ key: 'light', tokens: lightLength() })),
      offer(rate * HEAVY_TIMES, forSeconds, random, () => callers.ask({ key: 'heavy', tokens: heavyLength() })),
    ]);
    const endAt = performance.now();
    const base = await stack.redis.hget(redisKeys.shares(MODEL, 'text'), 'base');
    const judged = (await Promise.all(light)).filter(({ tries }) => (tries[0]?.startedAt ?? 0) > startedAt + SETTLE_MS);
    const logged = realWaits(stack);
    const waits = judged.flatMap(({ tries }) => {
      const wait = logged.get(tries.at(-1)?.headers['x-request-id'] ?? '');
      return wait === undefined ? [] : [wait];
    });
    const waitedMs = waits.map(({ waited }) => waited);
    const held = heldSlots(stack);
    const beside = besideReleases(held, waits);
    return {
      'base of the priorities at the end (0: never lowered)': Number(base),
      'light calls judged': judged.length,
      'calls started late, p99 (machine too busy?)': seconds(quantile(lateStarts(), 0.99)),
      'light key: wait p50, ms': rounded(quantile(waitedMs, 0.5)),
      'light key: wait p95, ms': rounded(quantile(waitedMs, 0.95)),
      'two slot releases at their mean, and 10 ms': rounded(2_000 / capacity + SLACK_MS),
      'p95 until the first slot after them was released, ms': rounded(
        quantile(
          beside.map(({ firstMs }) => firstMs),
          0.95,
        ),
      ),
      'light calls that the second slot released after them had taken': percent(
        shareOf(beside, ({ inTime }) => inTime),
      ),
      'light key: calls that succeed': percent(shareOf(judged, ({ ok }) => ok)),
      'slots busy': percent(busyShare(held, stack.slots, startedAt + SETTLE_MS, endAt)),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}

/**
 * Each wait beside the releases of slots that passed during it.
 * @param {readonly import('./held-slots.mjs').Held[]} held @param {readonly import('./log-lines.mjs').Wait[]} waits
 * @returns {{ firstMs: number, inTime: boolean }[]} `firstMs`: from its arrival to the next release; no order of the queue is
 *   faster. `inTime`: it was taken when two slots had been released, or 10 ms later
 */
function besideReleases(held, waits) {
  const releases = held.map(({ to }) => to).toSorted((a, b) => a - b);
  const taken = new Map(held.map(({ requestId, from }) => [requestId, from]));
  return waits.map(({ requestId, waited }) => {
    const takenAt = taken.get(requestId) ?? Infinity;
    const cameAt = takenAt - waited;
    const [first = Infinity, second = Infinity] = releases.filter((at) => at > cameAt);
    return { firstMs: first - cameAt, inTime: waited <= SLACK_MS || takenAt <= second + SLACK_MS };
  });
}

/**
 * Priority, default and flex of one key, beside a key that names none.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds
 * @returns {Promise<import('./figures.mjs').Figures>}
 */
export async function measureTiers(size, forSeconds) {
  const stack = await startStack({ size, keys: { tiers: 1, plain: 1, eager: 1 } });
  const callers = new Callers(stack);
  try {
    /** @type {{ name: string, at: number, tokens: number }[]} */
    const answered = [];
    const flood = (/** @type {string} */ name, /** @type {string} */ key, /** @type {string | undefined} */ tier) => {
      const length = lengthsOf(randomOf(SEED));
      return saturate(stack.slots, forSeconds, async () => {
        const tokens = length();
        const { ok } = await callers.ask({ key, tokens, ...(tier === undefined ? {} : { tier }) });
        if (ok) answered.push({ name, at: performance.now(), tokens });
      });
    };
    const startedAt = performance.now();
    await Promise.all([
      ...TIERS.map((tier) => flood(tier, 'tiers', tier)),
      flood('a key without tiers', 'plain', undefined),
      flood('a key that says priority for all', 'eager', 'priority'),
    ]);
    const to = startedAt + forSeconds * 1_000;
    const count = (/** @type {string} */ name) =>
      answered.filter((one) => one.name === name && one.at > startedAt + SETTLE_MS && one.at < to).length;
    const all = ['a key without tiers', 'a key that says priority for all', ...TIERS];
    const flex = count('flex');
    return {
      ...Object.fromEntries(all.map((name) => [`answers: ${name}`, count(name)])),
      'priority : default : flex': TIERS.map((tier) => (count(tier) / flex).toFixed(2)).join(' : '),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}
