// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { Callers } from './caller.mjs';
import { percent, rounded } from './figures.mjs';
import { saturate } from './load.mjs';
import { startStack } from './stack.mjs';

/** Callers at a time, and how long the programs are warmed up, as a share of the measurement. */
const CALLERS = 8;
const WARM_UP = 0.5;
const IDLE_SECONDS = 5;
const LIMIT = 10;
const FILL_MS = 50;
/** An answer that does not end during the measurement, and one that is short. */
const SLOW_TOKEN_MS = 500;
const ENDLESS_TOKENS = 4_000;
const FAST_TOKEN_MS = 1;
const TOKENS = 10;

/** @typedef {Record<'gateways' | 'dispatchers' | 'redis', number>} Cpu CPU ms */

/**
 * CPU time of all gateways, dispatchers and both Redis for a refused request, and for a served one.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds
 * @returns {Promise<import('./figures.mjs').Figures>}
 */
export async function measureRefusalCost(size, forSeconds) {
  const served = await cpuOf({ ...size, tokenMs: FAST_TOKEN_MS }, forSeconds, false);
  const refused = await cpuOf({ ...size, tokenMs: SLOW_TOKEN_MS }, forSeconds, true);
  const sum = (/** @type {Cpu} */ one) => one.gateways + one.dispatchers + one.redis;
  return {
    'served: CPU ms, gateways': rounded(served.gateways),
    'served: CPU ms, dispatchers': rounded(served.dispatchers),
    'served: CPU ms, Redis': rounded(served.redis),
    'refused: CPU ms, gateways': rounded(refused.gateways),
    'refused: CPU ms, Redis': rounded(refused.redis),
    'refused of served': percent(sum(refused) / sum(served)),
  };
}

/** @param {import('./stack.mjs').Size} size @param {number} forSeconds @param {boolean} isFull @returns {Promise<Cpu>} a request */
async function cpuOf(size, forSeconds, isFull) {
  const gatewayEnv = isFull ? { GATEWAY_QUEUE_LIMIT_JOBS: String(LIMIT) } : {};
  const stack = await startStack({ size, keys: { a: 1 }, gatewayEnv, workerEnv: { WORKER_LOG_LEVEL: 'warn' } });
  const callers = new Callers(stack);
  try {
    const call = () => callers.ask({ key: 'a', tokens: TOKENS }, 0);
    if (isFull) {
      // They keep the slots and the places until the end.
      for (let i = 0; (await stack.waiting()) < LIMIT && i < (stack.slots + LIMIT) * 10; i += 1) {
        void callers.ask({ key: 'a', tokens: ENDLESS_TOKENS }, 0);
        await pause(FILL_MS);
      }
    }
    await saturate(CALLERS, forSeconds * WARM_UP, call);
    const idleFrom = stack.cpu();
    await pause(IDLE_SECONDS * 1_000);
    const before = stack.cpu();
    /** @type {import('./caller.mjs').Record_[]} */
    const records = [];
    const startedAt = performance.now();
    await saturate(CALLERS, forSeconds, async () => {
      records.push(await call());
    });
    const tookSeconds = (performance.now() - startedAt) / 1_000;
    const after = stack.cpu();
    const wrong = records.filter(({ ok }) => ok === isFull).length;
    if (wrong > 0) throw new Error(`${wrong} of ${records.length} requests were ${isFull ? 'served' : 'not served'}`);
    const each = (/** @type {keyof Cpu} */ who) => {
      const idle = ((before[who] - idleFrom[who]) * tookSeconds) / IDLE_SECONDS;
      return ((after[who] - before[who] - idle) * 1_000) / records.length;
    };
    return { gateways: each('gateways'), dispatchers: each('dispatchers'), redis: each('redis') };
  } finally {
    await callers.close();
    await stack.end();
  }
}
