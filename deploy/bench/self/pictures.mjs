// @ts-check
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { question } from '../compare/picture-body.mjs';
import { askPlain } from './callers.mjs';
import { measured, startStack } from './stack.mjs';
import { turnsOf } from './turns.mjs';

/** A round is short, because both checkouts run during all of them. */
const ROUNDS = 10;
const A_ROUND = 100;
/** Pictures before the measurement, because code runs many times slower before it is compiled. */
const WARM_UP = 300;
const AT_A_TIME = 4;
const ENGINE = { PENSTOCK_SIM_ITL_MS: '0', PENSTOCK_SIM_TTFT_MS: '0' };

/**
 * CPU time of pictures of 1.5 MB in each program, in turns.
 * @param {Partial<Record<import('./turns.mjs').Side, import('./stack.mjs').Choice>>} choices
 * @returns {Promise<Record<import('./turns.mjs').Side, import('./turns.mjs').Turn[]>>}
 */
export async function measurePictures(choices) {
  const body = question();
  /** @type {Partial<Record<import('./turns.mjs').Side, import('./stack.mjs').Stack>>} */
  const stacks = {};
  /** @type {Record<import('./turns.mjs').Side, import('./turns.mjs').Turn[]>} */
  const turns = { this: [], other: [] };
  try {
    for (const side of /** @type {const} */ (['this', 'other'])) {
      const choice = choices[side];
      if (choice === undefined) continue;
      const stack = await startStack(ENGINE, choice);
      stacks[side] = stack;
      await askPlain(stack.pool, WARM_UP, AT_A_TIME, body);
    }
    for (const side of turnsOf(ROUNDS, choices.other !== undefined)) {
      const stack = stacks[side];
      if (stack !== undefined)
        turns[side].push(await measured(stack.pids, () => askPlain(stack.pool, A_ROUND, AT_A_TIME, body)));
    }
    return turns;
  } finally {
    for (const stack of Object.values(stacks)) await stack.end();
  }
}

/**
 * For how much CPU time one picture delays the gateway's event loop, with the collector's pauses. It uses a separate stack,
 * because the watch keeps a core busy.
 * @returns {Promise<{ usual: number, longest: number }>} ms
 */
export async function delayOfOnePicture() {
  const body = question();
  const folder = await mkdtemp(join(tmpdir(), 'penstock-block-'));
  const file = join(folder, 'longest');
  const watch = new URL(`block-watch.mjs?file=${encodeURIComponent(file)}`, import.meta.url);
  const { pool, pids, end } = await startStack(ENGINE, { gatewayFlags: ['--import', watch.href] });
  try {
    await askPlain(pool, WARM_UP, 1, body);
    const tell = async () => {
      process.kill(pids['gateway']?.[0] ?? 0, 'SIGUSR2');
      await pause(200);
    };
    await tell();
    await askPlain(pool, A_ROUND, 1, body);
    await tell();
    const turns = /** @type {number[]} */ (JSON.parse(await readFile(file, 'utf8'))).toSorted((a, b) => b - a);
    return { usual: turns[Math.floor(A_ROUND / 2)] ?? 0, longest: turns[0] ?? 0 };
  } finally {
    await end();
    await rm(folder, { recursive: true, force: true });
  }
}
