// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { fetch, Agent } from 'undici';
import { Callers } from './caller.mjs';
import { countBy, percent, quantile, rounded, seconds, shareOf } from './figures.mjs';
import { heldSlots, wallClock } from './held-slots.mjs';
import { lateStarts, lengthsOf, offer, randomOf } from './load.mjs';
import { startStack, sumOf } from './stack.mjs';

const SEED = 77;
/** Places of an engine that no request waits for. */
const ROOMY = 64;
const LOOK_MS = 200;
/** Time for an engine to return to dispatch after the load, in ms. */
const BACK_MS = 120_000;

/**
 * @typedef {import('./held-slots.mjs').Held} Held
 * @typedef {import('./figures.mjs').Figures} Figures
 * @typedef {object} PlacementOptions
 * @property {import('./stack.mjs').Size} size
 * @property {number} requests
 * @property {number} perSecond
 */

/**
 * For each chosen engine: how many more requests it held than the emptiest one at that moment.
 * @param {readonly Held[]} held @param {readonly string[]} engines
 */
function excesses(held, engines) {
  return held.map((one) => {
    /** @type {Map<string, number>} */
    const loads = new Map(engines.map((engine) => [engine, 0]));
    for (const { engine, from, to } of held)
      if (from < one.from && to > one.from) loads.set(engine, (loads.get(engine) ?? 0) + 1);
    return (loads.get(one.engine) ?? 0) - Math.min(...loads.values());
  });
}

/** 500 requests at random times. @param {PlacementOptions} options @returns {Promise<Figures>} */
export async function measurePlacement({ size, requests, perSecond }) {
  const stack = await startStack({ size: { ...size, slots: ROOMY } });
  const callers = new Callers(stack);
  try {
    const random = randomOf(SEED);
    const length = lengthsOf(random);
    const running = await offer(perSecond, requests / perSecond, random, () =>
      callers.ask({ key: '', tokens: length() }),
    );
    const records = await Promise.all(running);
    const held = heldSlots(stack);
    const engines = (await stack.engines()).map(({ launcher, id }) => `${launcher}/${id}`);
    const above = excesses(held, engines);
    return {
      requests: held.length,
      'calls started late, p99 (machine too busy?)': seconds(quantile(lateStarts(), 0.99)),
      'calls that fail': records.filter(({ ok }) => !ok).length,
      'held at a time, mean': rounded(meanHeld(held)),
      'at most one more than the emptiest': percent(shareOf(above, (one) => one <= 1)),
      'chosen engine, requests more than the emptiest': countBy(above, String),
      'requests by engine': countBy(held, ({ engine }) => engine),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}

/** @param {readonly Held[]} held */
function meanHeld(held) {
  const [first, last] = [Math.min(...held.map(({ from }) => from)), Math.max(...held.map(({ to }) => to))];
  return sumOf(held.map(({ from, to }) => to - from)) / (last - first);
}

/**
 * One engine that fails everything, or is ten times slower.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds @param {Record<string, unknown>} fault
 * @param {number} load as a share of the capacity
 * @returns {Promise<Figures>}
 */
export async function measureBadEngine(size, forSeconds, fault, load) {
  const stack = await startStack({ size });
  const callers = new Callers(stack);
  try {
    const perSecond = (load * stack.slots * 1_000) / (size.tokenMs * 10.5);
    const ill = (await stack.engines()).find(({ launcher, id }) => launcher === 0 && id === 'engine-0');
    const name = '0/engine-0';
    const random = randomOf(SEED);
    const length = lengthsOf(random);
    const call = () => callers.ask({ key: '', tokens: length() }, 0);
    await Promise.all(await offer(perSecond, 5, random, call));
    await setFault(ill?.socket ?? '', fault);
    const badAt = performance.now();
    const states = watchEngine(stack);
    const records = await Promise.all(await offer(perSecond, forSeconds, random, call));
    const endAt = performance.now();
    const isBack = () => states.changes.some(({ outAt, backAt }) => outAt > 0 && backAt > 0);
    const hasLeft = () => states.changes.some(({ outAt }) => outAt > 0);
    while (hasLeft() && !isBack() && performance.now() < endAt + BACK_MS) await pause(LOOK_MS);
    states.end();
    const held = heldSlots(stack).filter(({ from }) => from > wallClock(badAt));
    const before = states.changes[0];
    const lost = records.filter(({ ok }) => !ok);
    const outAt = wallClock(before?.outAt ?? endAt);
    const whileBad = held.filter(({ from }) => from < outAt);
    const toIll = whileBad.filter(({ engine }) => engine === name);
    return {
      'calls started': records.length,
      'calls started late, p99 (machine too busy?)': seconds(quantile(lateStarts(), 0.99)),
      'errors that clients see': lost.length,
      'errors by reason': countBy(lost, ({ tries }) => `${tries.at(-1)?.status} ${tries.at(-1)?.code}`),
      'requests that it got until out': toIll.length,
      'share that it got until out': percent(toIll.length / whileBad.length),
      'until out of dispatch': seconds(before === undefined ? Number.NaN : before.outAt - badAt),
      reason: before?.reason ?? null,
      'until back in dispatch': seconds(
        before === undefined || before.backAt === 0 ? Number.NaN : before.backAt - badAt,
      ),
      'p95 of a call': seconds(
        quantile(
          records.map(({ tries }) => (tries.at(-1)?.endedAt ?? 0) - (tries[0]?.startedAt ?? 0)),
          0.95,
        ),
      ),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}

/** When the first engine of the first launcher left dispatch and returned. @param {import('./stack.mjs').Stack} stack */
function watchEngine(stack) {
  /** @type {{ outAt: number, backAt: number, reason: string | null }[]} */
  const changes = [];
  const look = async () => {
    const one = (await stack.engines()).find(({ launcher, id }) => launcher === 0 && id === 'engine-0');
    const serves = one?.state === 'ready';
    const last = changes.at(-1);
    const isOut = last !== undefined && last.backAt === 0;
    if (!serves && !isOut)
      changes.push({ outAt: performance.now(), backAt: 0, reason: one?.outlier?.reason ?? one?.state ?? null });
    if (serves && isOut) last.backAt = performance.now();
  };
  const timer = setInterval(() => void look().catch(() => {}), LOOK_MS);
  return { changes, end: () => clearInterval(timer) };
}

/** @param {string} socketPath @param {Record<string, unknown>} fault */
async function setFault(socketPath, fault) {
  const dispatcher = new Agent({ connect: { socketPath } });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch('http://localhost/sim/faults', {
    method: 'POST',
    headers,
    body: JSON.stringify(fault),
    dispatcher,
  });
  if (!answer.ok) throw new Error(`the simulator refused ${JSON.stringify(fault)}`);
  await dispatcher.close();
}
