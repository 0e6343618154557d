// @ts-check
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { cpuSeconds, residentMiB } from './cpu.mjs';
import { MODEL } from './loads.mjs';

const GENERATOR = fileURLToPath(new URL('../peers/load-generator.mjs', import.meta.url));
/** LiteLLM needs most of it on a busy machine. */
const START_MS = 120_000;
const MEMORY_EVERY_MS = 250;

/**
 * @typedef {import('./peers.mjs').Running} Running
 * @typedef {Record<string, import('./cpu.mjs').Watched>} WatchedByName
 * @typedef {object} Measured one load on one peer
 * @property {import('../peers/load-generator.mjs').Figures} figures
 * @property {Record<string, number>} cpu seconds of each process of the gateway
 * @property {number | null} steadyMicroseconds CPU time of the gateway per chunk while all streams run; null: no streams
 * @property {number} loadSide CPU seconds of the engine and the load generator
 * @property {number} memoryMiB most resident memory of the gateway's processes together
 */

/**
 * Waits until the gateway answers a request.
 * @param {Running} running
 * @param {import('./processes.mjs').Processes} processes
 */
export async function untilServes({ port, headers, watched, log }, processes) {
  const body = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 });
  const before = performance.now() + START_MS;
  let seen = 'no answer';
  while (performance.now() < before) {
    if (Object.values(watched).some(({ pid }) => processes.hasExited(pid)))
      throw new Error(`it exited before it served; its log: ${processes.lastWords(log)}`);
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
        signal: AbortSignal.timeout(START_MS),
      });
      const text = await answer.text();
      if (answer.status === 200 && text.includes('"choices"')) return;
      seen = `${answer.status} ${text.slice(0, 200)}`;
    } catch (error) {
      seen = error instanceof Error ? String(error.cause ?? error) : String(error);
    }
    await pause(200);
  }
  throw new Error(
    `no answer to a first request within ${START_MS / 1_000} s, the last one was: ${seen}; its log: ${processes.lastWords(log)}`,
  );
}

/**
 * Runs one load and reads the CPU time of every process before and after it.
 * @param {Running} running
 * @param {import('./loads.mjs').Load} load
 * @param {{ processes: import('./processes.mjs').Processes, folder: string, core: number | null }} with_
 * @returns {Promise<Measured>}
 */
export async function measure(running, load, { processes, folder, core }) {
  const bodyFile = join(folder, `${load.name}.json`);
  await writeFile(bodyFile, load.body());
  const { child, pid: generatorPid } = processes.fork(GENERATOR, core);
  const gateway = running.watched;
  const side = [generatorPid, running.enginePid].filter((pid) => pid !== undefined);
  const now = () => ({
    cpu: Object.fromEntries(Object.entries(gateway).map(([name, watched]) => [name, cpuSeconds(watched)])),
    side: side.reduce((sum, pid) => sum + cpuSeconds({ pid, tree: false }), 0),
  });
  const memory = () => Object.values(gateway).reduce((sum, watched) => sum + residentMiB(watched), 0);
  let memoryMiB = 0;
  const watch = setInterval(() => (memoryMiB = Math.max(memoryMiB, memory())), MEMORY_EVERY_MS);
  let before = now();
  /** @type {{ cpu: number, chunks: number }[]} */
  const steady = [];
  const { concurrency, tokens, once, seconds, warmUpSeconds } = load;
  try {
    return await new Promise((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`the load generator exited with ${code} under ${load.name}`)));
      child.on('message', (/** @type {any} */ message) => {
        if (message.kind === 'warm') {
          before = now();
          child.send('go');
        } else if (message.kind === 'done') {
          const after = now();
          const [first, last] = steady;
          resolve({
            figures: message.figures,
            cpu: difference(before.cpu, after.cpu),
            loadSide: after.side - before.side,
            memoryMiB: Math.max(memoryMiB, memory()),
            steadyMicroseconds:
              Object.keys(gateway).length === 0 || !first || !last || last.chunks === first.chunks
                ? null
                : (1e6 * (last.cpu - first.cpu)) / (last.chunks - first.chunks),
          });
        } else {
          steady.push({ cpu: Object.values(now().cpu).reduce((sum, one) => sum + one, 0), chunks: message.chunks });
        }
      });
      const { port, headers } = running;
      child.send({ concurrency, tokens, once, seconds, warmUpSeconds, bodyFile, port, headers });
    });
  } finally {
    clearInterval(watch);
    child.removeAllListeners();
    if (child.connected) child.disconnect();
  }
}

/** @param {Record<string, number>} before @param {Record<string, number>} after */
function difference(before, after) {
  return Object.fromEntries(Object.entries(after).map(([name, seconds]) => [name, seconds - (before[name] ?? 0)]));
}
