// @ts-check
import { calmChecks, killedChecks } from './checks.mjs';
import { Trial } from './trial.mjs';

/** Clients of the second phase that leave: one of so many. */
const LEAVES_EVERY = 25;
/** The load whose limits are those of the promise. */
export const FULL = { requests: 2_000, atATime: 64 };

/**
 * Two phases, each on a stack of its own: without faults, and with two engines, a dispatcher and a gateway killed while
 * clients leave.
 * @param {{ calm: number, killed: number, atATime: number }} size requests of each phase, and how many run at a time
 * @returns {Promise<{ phase: string, checks: import('./trial.mjs').Check[] }[]>}
 */
export async function runPhases({ calm, killed, atATime }) {
  return [
    { phase: 'without faults', checks: await calmPhase(calm, atATime) },
    { phase: 'with kills and hang-ups', checks: await killedPhase(killed, atATime) },
  ];
}

/** @param {number} requests @param {number} atATime */
async function calmPhase(requests, atATime) {
  const trial = await Trial.start(atATime);
  try {
    await trial.run(requests);
    return calmChecks(await trial.taken(), requests);
  } finally {
    await trial.stop();
  }
}

/** @param {number} requests @param {number} atATime */
async function killedPhase(requests, atATime) {
  const trial = await Trial.start(atATime);
  try {
    const load = await trial.run(requests, {
      leavesEvery: LEAVES_EVERY,
      faults: [
        () => trial.killEngine(0),
        () => trial.killEngine(1),
        () => trial.killDispatcher(0),
        () => trial.killGateway(1),
      ],
    });
    return killedChecks(await trial.taken(), load, trial.claimed(), lossOf(requests, atATime));
  } finally {
    await trial.stop();
  }
}

/** A kill loses what runs, so its share of a shorter load is larger. @param {number} requests @param {number} atATime */
function lossOf(requests, atATime) {
  return Math.max(1, ((FULL.requests / requests) * atATime) / FULL.atATime);
}
