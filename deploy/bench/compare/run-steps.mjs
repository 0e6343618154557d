// @ts-check
import { measure } from './measure.mjs';
import { withRunning } from './with-running.mjs';

/** @typedef {import('./merge.mjs').Run} Run */
const PROBLEM_CHARACTERS = 120;

/**
 * @typedef {object} Setting
 * @property {readonly import('./peers.mjs').Peer[]} peers
 * @property {readonly import('./loads.mjs').Load[]} loads
 * @property {import('./plan.mjs').Plan} cores
 * @property {string} cache
 * @property {(line: string) => void} say
 * @property {(runs: Run[]) => Promise<void>} keep is called after each step with all runs
 */

/**
 * Starts each gateway, runs all loads on it and stops it. A gateway that fails gets a problem in place of figures.
 * @param {readonly import('./plan.mjs').Step[]} steps
 * @param {Setting} setting
 * @returns {Promise<Run[]>}
 */
export async function runSteps(steps, { peers, loads, cores, cache, say, keep }) {
  /** @type {Run[]} */
  const runs = [];
  for (const [index, { round, peer: name }] of steps.entries()) {
    const peer = peers.find((one) => one.name === name);
    if (peer === undefined) continue;
    const progress = `[${index + 1}/${steps.length}] round ${round}, ${name}`;
    /** @type {Run[]} */
    const done = [];
    try {
      if (peer.problem !== undefined) throw new Error(peer.problem);
      say(`${progress}: starting …`);
      await withRunning(peer.start, { cores, cache }, async (running, with_) => {
        for (const load of loads) {
          const measured = await measure(running, load, with_);
          done.push({ round, peer: name, load: load.name, measured });
          say(`${progress}: ${load.name}: ${short(measured)}`);
        }
      });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      say(`${progress}: failed: ${problem}`);
      const shown = problem.slice(0, PROBLEM_CHARACTERS).replaceAll(/\s+/g, ' ');
      for (const load of loads.slice(done.length)) done.push({ round, peer: name, load: load.name, problem: shown });
    }
    runs.push(...done);
    await keep(runs);
  }
  return runs;
}

/** @param {import('./measure.mjs').Measured} measured */
function short({ figures, cpu }) {
  const done = figures.chunks > 0 ? figures.chunks : figures.ok;
  const seconds = Object.values(cpu).reduce((sum, one) => sum + one, 0);
  const errors = Object.entries(figures.errors).map(([reason, count]) => `, ${count} × ${reason}`);
  return `${done} ${figures.chunks > 0 ? 'chunks' : 'answers'}, ${((1e6 * seconds) / Math.max(done, 1)).toFixed(0)} µs of CPU each${errors.join('')}`;
}
