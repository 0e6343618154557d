// @ts-check
import { redisKeys } from '#contract/redis-keys';
import { MODEL } from './stack.mjs';

const EVERY_MS = 100;

/** Looks at the queue ten times a second. @param {import('./stack.mjs').Stack} stack */
export function watchQueue(stack) {
  let [longest, mostReserved] = [0, 0];
  let isLooking = false;
  const look = async () => {
    if (isLooking) return;
    isLooking = true;
    try {
      longest = Math.max(longest, await stack.waiting());
      mostReserved = Math.max(mostReserved, await stack.redis.zcard(redisKeys.reservations(MODEL)));
    } finally {
      isLooking = false;
    }
  };
  const timer = setInterval(() => void look().catch(() => {}), EVERY_MS);
  return {
    end: () => {
      clearInterval(timer);
      return { longest, mostReserved };
    },
  };
}
