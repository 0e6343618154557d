// @ts-check
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measure, untilServes } from './measure.mjs';
import { Processes } from './processes.mjs';

/**
 * @typedef {object} Setting
 * @property {readonly import('./peers.mjs').Peer[]} peers
 * @property {readonly import('./loads.mjs').Load[]} loads
 * @property {ReturnType<typeof import('./plan.mjs').pinningPlan>} cores
 * @property {string} cache
 * @property {(line: string) => void} say
 */

/**
 * Starts each gateway, runs all loads on it and stops it. A gateway that fails gets a problem in place of figures.
 * @param {readonly import('./plan.mjs').Step[]} steps
 * @param {Setting} setting
 * @returns {Promise<import('./merge.mjs').Run[]>}
 */
export async function runSteps(steps, { peers, loads, cores, cache, say }) {
  /** @type {import('./merge.mjs').Run[]} */
  const runs = [];
  for (const [index, { round, peer: name }] of steps.entries()) {
    const peer = peers.find((one) => one.name === name);
    if (peer === undefined) continue;
    const folder = await mkdtemp(join(tmpdir(), 'penstock-bench-'));
    const processes = new Processes(folder);
    const killAll = () => {
      processes.kill();
      rmSync(folder, { recursive: true, force: true });
    };
    process.on('exit', killAll);
    const progress = `[${index + 1}/${steps.length}] round ${round}, ${name}`;
    try {
      say(`${progress}: starting …`);
      const running = await peer.start({ cache, folder, processes, core: cores.gateway, engineCore: cores.engine });
      await untilServes(running, processes);
      const settled = running.settled?.();
      const all = { ...running, ...settled, watched: { ...running.watched, ...settled?.watched } };
      for (const load of loads) {
        const measured = await measure(all, load, { processes, folder, core: cores.generator });
        runs.push({ round, peer: name, load: load.name, measured });
        say(`${progress}: ${load.name}: ${short(measured)}`);
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      say(`${progress}: failed: ${problem}`);
      const done = new Set(runs.filter((run) => run.round === round && run.peer === name).map(({ load }) => load));
      for (const load of loads)
        if (!done.has(load.name))
          runs.push({ round, peer: name, load: load.name, problem: problem.slice(0, 120).replaceAll(/\s+/g, ' ') });
    } finally {
      await processes.end();
      process.off('exit', killAll);
      await rm(folder, { recursive: true, force: true });
    }
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
