// @ts-check
import { setTimeout as pause } from 'node:timers/promises';
import { Callers } from './caller.mjs';
import { percent, quantile, rounded, seconds } from './figures.mjs';
import { lateStarts, offer, randomOf } from './load.mjs';
import { startStack } from './stack.mjs';

const PER_SECOND = 60;
const IDLE_SECONDS = 5;
const LIMIT = 10;
/** An answer that does not end during the measurement, and one that is short. */
const ENDLESS_TOKEN_MS = 60_000;
const SHORT_TOKEN_MS = 1;
const TOKENS = 10;

/** @typedef {{ gateways: number, redis: number }} Cpu CPU ms */

/**
 * CPU time of all gateways and both Redis for a refused request, and for a served one.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds
 * @returns {Promise<import('./figures.mjs').Figures>}
 */
export async function measureRefusalCost(size, forSeconds) {
  const served = await cpuOf({ ...size, tokenMs: SHORT_TOKEN_MS }, forSeconds, false);
  const refused = await cpuOf({ ...size, tokenMs: ENDLESS_TOKEN_MS }, forSeconds, true);
  const sum = (/** @type {Cpu} */ { gateways, redis }) => gateways + redis;
  return {
    'calls started late, p99 (machine too busy?)': seconds(quantile(lateStarts(), 0.99)),
    'served: CPU ms, gateways': rounded(served.gateways),
    'served: CPU ms, Redis': rounded(served.redis),
    'refused: CPU ms, gateways': rounded(refused.gateways),
    'refused: CPU ms, Redis': rounded(refused.redis),
    'refused of served': percent(sum(refused) / sum(served)),
  };
}

/** @param {import('./stack.mjs').Size} size @param {number} forSeconds @param {boolean} isFull @returns {Promise<Cpu>} a request */
async function cpuOf(size, forSeconds, isFull) {
  const gatewayEnv = { GATEWAY_QUEUE_LIMIT_JOBS: String(LIMIT) };
  const stack = await startStack({ size, keys: { a: 1 }, gatewayEnv, workerEnv: { WORKER_LOG_LEVEL: 'warn' } });
  const callers = new Callers(stack);
  try {
    const call = () => callers.ask({ key: 'a', tokens: TOKENS }, 0);
    if (isFull) {
      // They keep the slots and the places; nobody waits for them.
      for (let i = 0; i < stack.slots + LIMIT; i += 1) void call();
      while ((await stack.waiting()) < LIMIT) await pause(100);
    }
    const random = randomOf(3);
    const warmUp = offer(PER_SECOND, IDLE_SECONDS, random, call);
    await Promise.all(await warmUp);
    const [idleFrom] = [stack.cpu()];
    await pause(IDLE_SECONDS * 1_000);
    const before = stack.cpu();
    const records = await Promise.all(await offer(PER_SECOND, forSeconds, random, call));
    const after = stack.cpu();
    const wrong = records.filter(({ ok }) => ok === isFull).length;
    if (wrong > 0) throw new Error(`${wrong} of ${records.length} requests were ${isFull ? 'served' : 'refused'}`);
    const each = (/** @type {'gateways' | 'redis'} */ who) => {
      const idle = ((before[who] - idleFrom[who]) * forSeconds) / IDLE_SECONDS;
      return ((after[who] - before[who] - idle) * 1_000) / records.length;
    };
    return { gateways: each('gateways'), redis: each('redis') };
  } finally {
    await callers.close();
    await stack.end();
  }
}
