// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { Callers } from './caller.mjs';
import { countBy, percent, perSecond, quantile, rounded, seconds, shareOf } from './figures.mjs';
import { busyShare, heldSlots } from './held-slots.mjs';
import { lateStarts, lengthsOf, offer, randomOf, saturate } from './load.mjs';
import { startStack, sumOf } from './stack.mjs';
import { watchQueue } from './watch-queue.mjs';

const SEED = 20;
/** The queue fills and empties in this time, in which throughput is not judged, in ms. */
const SETTLE_MS = 5_000;
/** A booked try may come this much after its moment, in ms. */
const BOOKED_FOR_MS = 30_000;
/** Slack of a timer: a try that comes this much before its moment counts as on time, in ms. */
const EARLY_MS = 2;
/** Two further tries, each after at most 60 s and a full queue, in ms. */
const LAST_ANSWER_MS = 240_000;

/**
 * @typedef {import('./caller.mjs').Record_} Record_
 * @typedef {import('./caller.mjs').Try} Try
 *
 * @typedef {object} OverloadOptions
 * @property {import('./stack.mjs').Size} size
 * @property {number} times offered load as a multiple of the capacity
 * @property {number} seconds of the peak
 * @property {number} halfSeconds of half the capacity after it
 * @property {number} limit GATEWAY_QUEUE_LIMIT_JOBS
 * @property {'one-key' | 'no-keys' | 'heavy'} callers `heavy`: one key offers `times` its share, another half of its own
 */

/** Calls a second that the engines answer while some wait. @param {Callers} callers @param {import('./stack.mjs').Stack} stack @param {number} forSeconds @param {string} key */
async function capacityOf(callers, stack, forSeconds, key) {
  const length = lengthsOf(randomOf(SEED));
  const ended = /** @type {number[]} */ ([]);
  const startedAt = performance.now();
  await saturate(stack.slots * 2, forSeconds, async () => {
    const { ok } = await callers.ask({ key, tokens: length() });
    if (ok) ended.push(performance.now());
  });
  const [from, to] = [startedAt + forSeconds * 250, startedAt + forSeconds * 1_000];
  return ended.filter((at) => at >= from && at < to).length / ((to - from) / 1_000);
}

/** @param {OverloadOptions} options @returns {Promise<import('./figures.mjs').Figures>} */
export async function measureOverload(options) {
  const { size, times, limit, callers: who } = options;
  const keys = { 'one-key': { shared: 1 }, 'no-keys': undefined, heavy: { shared: 1, light: 1 } }[who];
  const gatewayEnv = { GATEWAY_QUEUE_LIMIT_JOBS: String(limit) };
  const stack = await startStack({ size, gatewayEnv, ...(keys === undefined ? {} : { keys }) });
  const callers = new Callers(stack);
  try {
    const capacity = await capacityOf(callers, stack, 12, 'shared');
    console.log(`capacity ${capacity.toFixed(1)} calls/s with ${stack.slots} slots; offering ${times} times as much …`);
    const queue = watchQueue(stack);
    const random = randomOf(SEED + 1);
    const length = lengthsOf(random);
    /** @type {Record_[]} */
    const records = [];
    const ask = async (/** @type {string} */ key) => {
      records.push(await callers.ask({ key, tokens: length() }));
    };
    // With a light key beside it, the share of each is half of the capacity.
    const share = who === 'heavy' ? capacity / 2 : capacity;
    const peakAt = performance.now();
    const loads = [offer(share * times, options.seconds, random, () => ask('shared'))];
    if (who === 'heavy') loads.push(offer(share / 2, options.seconds, random, () => ask('light')));
    const running = (await Promise.all(loads)).flat();
    const halfAt = performance.now();
    running.push(...(await offer(capacity / 2, options.halfSeconds, random, () => ask('shared'))));
    const endAt = performance.now();
    await Promise.race([Promise.all(running), pause(LAST_ANSWER_MS, undefined, { ref: false })]);
    const watched = queue.end();
    const held = heldSlots(stack);
    const judged = /** @type {const} */ ([peakAt + SETTLE_MS, halfAt]);
    const answeredAt = records.flatMap(({ ok, tries }) => (ok ? [tries.at(-1)?.endedAt ?? 0] : []));
    const rate =
      answeredAt.filter((at) => at >= judged[0] && at < judged[1]).length / ((judged[1] - judged[0]) / 1_000);
    const slotsBusy = busyShare(held, stack.slots, judged[0], judged[1]);
    const arrivals = records.flatMap(({ tries }) => tries.map(({ startedAt }) => startedAt));
    const light = records.filter(({ key }) => key === 'light');
    return {
      capacity: rounded(capacity),
      'calls started': running.length,
      'calls without an end': running.length - records.length,
      'calls started late, p99 (machine too busy?)': seconds(quantile(lateStarts(), 0.99)),
      'offered, of the capacity': rounded((who === 'heavy' ? (times + 0.5) / 2 : times) || 0),
      'slots busy while overloaded': percent(slotsBusy),
      'answers a second, of the capacity': percent(rate / capacity),
      'calls that succeed': percent(shareOf(records, ({ ok }) => ok)),
      'calls of the peak that succeed': percent(
        shareOf(
          records.filter(({ tries }) => (tries[0]?.startedAt ?? 0) < halfAt),
          ({ ok }) => ok,
        ),
      ),
      ...(light.length === 0 ? {} : lightFigures(light)),
      ...bookedFigures(records),
      'longest queue': watched.longest,
      'most reserved': watched.mostReserved,
      'queue limit and what drains in 60 s': rounded(limit + capacity * 60),
      ...waveFigures(arrivals, halfAt, endAt),
      ...refusalFigures(records),
      'retries a call': rounded(sumOf(records.map(({ tries }) => tries.length - 1)) / records.length),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}

/** @param {readonly Record_[]} light */
function lightFigures(light) {
  const tries = light.flatMap((one) => one.tries);
  return {
    'light key: calls that succeed': percent(shareOf(light, ({ ok }) => ok)),
    'light key: tries refused': percent(shareOf(tries, ({ status }) => status === 429)),
    'light key: p95 of a call': seconds(
      quantile(
        light.map((one) => (one.tries.at(-1)?.endedAt ?? 0) - (one.tries[0]?.startedAt ?? 0)),
        0.95,
      ),
    ),
  };
}

/** @param {Try} one */
const isBooked = ({ refusal }) => refusal.split(';').some((part) => part.trim() === 'booked');

/** Tries that returned after a refusal, with a booking and without. @param {readonly Record_[]} records */
function bookedFigures(records) {
  const returns = records.flatMap(({ tries }) =>
    tries.slice(1).map((one, i) => ({ one, before: /** @type {Try} */ (tries[i]) })),
  );
  const booked = returns.filter(({ before }) => isBooked(before));
  const onTime = booked.filter(({ one, before }) => {
    const lateMs = one.startedAt - before.endedAt - (before.retryAfterMs ?? 0);
    return lateMs >= -EARLY_MS && lateMs <= BOOKED_FOR_MS;
  });
  const isIn = (/** @type {{ one: Try }} */ { one }) => one.status === 200;
  return {
    'refusals that booked': records.flatMap(({ tries }) => tries).filter(isBooked).length,
    'booked tries that came at their moment': onTime.length,
    'of these let in': percent(shareOf(onTime, isIn)),
    'returns without a booking let in': percent(
      shareOf(
        returns.filter(({ before }) => !isBooked(before)),
        isIn,
      ),
    ),
  };
}

/** Arrivals after the peak: a wave is a second with more than twice the mean. @param {readonly number[]} arrivals @param {number} from @param {number} to */
function waveFigures(arrivals, from, to) {
  const during = perSecond(arrivals, from, to);
  const mean = sumOf(during) / during.length;
  const last = Math.max(...arrivals);
  const tail = perSecond(arrivals, to, last);
  return {
    'arrivals a second in the half load: mean, max': `${mean.toFixed(1)}, ${Math.max(...during)}`,
    'max over mean in the half load': rounded(Math.max(...during) / mean),
    'returns after the half load: for, max a second': `${seconds(last - to)}, ${Math.max(0, ...tail)}`,
  };
}

/** @param {readonly Record_[]} records */
function refusalFigures(records) {
  const refused = records.flatMap(({ tries }) => tries).filter(({ status }) => status !== 200);
  const told = refused.flatMap(({ retryAfterMs }) => (retryAfterMs === undefined ? [] : [retryAfterMs]));
  return {
    'tries refused': refused.length,
    'refused tries by reason': countBy(refused, ({ status, code, refusal }) =>
      [status, code, refusal].filter((part) => part !== '').join(' '),
    ),
    'longest retry-after': told.length === 0 ? null : seconds(Math.max(...told)),
    'retry-after p50': seconds(quantile(told, 0.5)),
  };
}
