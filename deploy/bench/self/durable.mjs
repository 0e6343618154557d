// @ts-check
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { askStreams } from './callers.mjs';
import { measured, startStack } from './stack.mjs';
import { turnsOf } from './turns.mjs';

const ENGINE = { PENSTOCK_SIM_ITL_MS: '20' };
/** The longest answer that Phi-3-vision's card allows. */
const LONGEST = 4_096;

/**
 * Streams with an idempotency key (`this`) and without one (`other`), in turns.
 * @param {number} streams @param {number} tokens @param {number} rounds
 */
export async function measureDurable(streams, tokens, rounds) {
  /** @type {Record<import('./turns.mjs').Side, import('./turns.mjs').Turn[]>} */
  const turns = { this: [], other: [] };
  for (const side of turnsOf(rounds, true)) {
    const { pool, pids, end } = await startStack(ENGINE, { connections: streams });
    try {
      const keyed = side === 'this';
      turns[side].push(await measured(pids, () => askStreams(pool, streams, tokens, keyed ? randomUUID : undefined)));
    } finally {
      await end();
    }
  }
  return turns;
}

/**
 * What Redis needs for the longest answer.
 * @returns {Promise<{ running: number, kept: number }>} bytes, just before its end and when it is packed
 */
export async function bytesOfOneAnswer() {
  const { pool, redisUrl, end } = await startStack({ PENSTOCK_SIM_ITL_MS: '1' });
  const redis = new Redis(redisUrl);
  try {
    const key = randomUUID();
    let running = 0;
    const isPacked = async () => (await redis.keys('{*}:answer-archive:*')).length > 0;
    const answer = askStreams(pool, 1, LONGEST, () => key);
    while (!(await isPacked())) {
      running = Math.max(running, await bytesOf(redis));
      await pause(20);
    }
    await answer;
    for (const log of await redis.keys('{*}:answer-log:*')) await redis.del(log);
    return { running, kept: await bytesOf(redis) };
  } finally {
    redis.disconnect();
    await end();
  }
}

/** Of everything that belongs to an answer. @param {Redis} redis */
async function bytesOf(redis) {
  let sum = 0;
  for (const key of await redis.keys('{*}:answer*')) sum += Number(await redis.memory('USAGE', key, 'SAMPLES', 0));
  return sum;
}
