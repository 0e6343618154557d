// @ts-check
import { noise } from '../compare/picture-body.mjs';
import { Callers } from './caller.mjs';
import { percent, rounded } from './figures.mjs';
import { busyShare, heldSlots } from './held-slots.mjs';
import { lengthsOf, randomOf, saturate } from './load.mjs';
import { startStack } from './stack.mjs';

const SEED = 8;
const SIDE = 64;
/** Callers for each slot: something waits always. */
const CALLERS = 2;
/** Judged from here, as a share of the time. */
const SETTLED = 0.25;

/**
 * Text answers a second, without pictures and while all picture slots are full.
 * @param {import('./stack.mjs').Size} size @param {number} forSeconds
 * @returns {Promise<import('./figures.mjs').Figures>}
 */
export async function measureMixed(size, forSeconds) {
  const stack = await startStack({ size, keys: { a: 1 } });
  const callers = new Callers(stack);
  const picture = noise(SIDE);
  const length = lengthsOf(randomOf(SEED));
  /** @param {boolean} withPictures */
  const rates = async (withPictures) => {
    const startedAt = performance.now();
    /** @type {{ at: number, isPicture: boolean }[]} */
    const ended = [];
    const flood = (/** @type {boolean} */ isPicture) =>
      saturate(stack.slots * CALLERS, forSeconds, async () => {
        const { ok } = await callers.ask({ key: 'a', tokens: length(), ...(isPicture ? { picture } : {}) });
        if (ok) ended.push({ at: performance.now(), isPicture });
      });
    await Promise.all([flood(false), ...(withPictures ? [flood(true)] : [])]);
    const [from, to] = [startedAt + forSeconds * 1_000 * SETTLED, startedAt + forSeconds * 1_000];
    const judged = ended.filter(({ at }) => at > from && at < to);
    const perSecond = (/** @type {boolean} */ isPicture) =>
      (judged.filter((one) => one.isPicture === isPicture).length * 1_000) / (to - from);
    // Text and pictures have slots of their own.
    const busy = busyShare(heldSlots(stack), stack.slots * (withPictures ? 2 : 1), from, to);
    return { text: perSecond(false), pictures: perSecond(true), busy };
  };
  try {
    const alone = await rates(false);
    const mixed = await rates(true);
    return {
      'text alone: answers a second': rounded(alone.text),
      'text alone: slots busy': percent(alone.busy),
      'with pictures: text answers a second': rounded(mixed.text),
      'with pictures: picture answers a second': rounded(mixed.pictures),
      'with pictures: slots busy': percent(mixed.busy),
      'text keeps': percent(mixed.text / alone.text),
    };
  } finally {
    await callers.close();
    await stack.end();
  }
}
