// @ts-check
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilServes } from './measure.mjs';
import { Processes } from './processes.mjs';

/**
 * Starts a gateway and waits until it serves, runs `work` and stops it. An exit of this program stops it too.
 * @template T
 * @param {(place: import('./peers.mjs').Place) => Promise<import('./peers.mjs').Running>} start
 * @param {{ cores: import('./plan.mjs').Plan, cache: string }} where
 * @param {(running: import('./peers.mjs').Running, with_: import('./measure.mjs').With) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withRunning(start, { cores, cache }, work) {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-bench-'));
  const processes = new Processes(folder);
  const killAll = () => {
    processes.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', killAll);
  try {
    const running = await start({ cache, folder, processes, core: cores.gateway, engineCores: cores.engine });
    await untilServes(running, processes);
    const settled = running.settled?.();
    const all = { ...running, ...settled, watched: { ...running.watched, ...settled?.watched } };
    return await work(all, { processes, folder, cores: cores.callers });
  } finally {
    await processes.end();
    process.off('exit', killAll);
    await rm(folder, { recursive: true, force: true });
  }
}
