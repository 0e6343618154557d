// @ts-check
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { cpuSeconds, residentMiB } from './cpu.mjs';
import { Histogram } from './histogram.mjs';
import { MODEL } from './loads.mjs';
import { shares } from './plan.mjs';

const GENERATOR = fileURLToPath(new URL('../peers/load-generator.mjs', import.meta.url));
/** LiteLLM needs most of it on a busy machine. */
const START_MS = 120_000;
const MEMORY_EVERY_MS = 250;

/**
 * @typedef {import('./peers.mjs').Running} Running
 * @typedef {Record<string, import('./cpu.mjs').Watched>} WatchedByName
 * @typedef {{ p50: number | null, p99: number | null }} Times ms
 * @typedef {object} Steady the time in which all callers run
 * @property {number} seconds @property {number} chunks @property {number} answers
 * @property {Record<string, number>} cpu seconds of each process
 *
 * @typedef {object} Measured one load on one peer
 * @property {{ ok: number, chunks: number, incomplete: number, wallSeconds: number, errors: Record<string, number>,
 *   latency: Times, firstToken: Times, gap: Times }} figures
 * @property {Record<string, number>} cpu seconds of each process of the gateway
 * @property {Steady | null} steady null: the load was too short
 * @property {number} loadSide CPU seconds of the engine and the callers
 * @property {number} memoryMiB most resident memory of the gateway's processes together
 * @property {Record<string, number>} memoryEach MiB of each process at that time
 *
 * @typedef {object} With
 * @property {import('./processes.mjs').Processes} processes
 * @property {string} folder for files of this run
 * @property {readonly number[] | null} cores of the callers
 */

/**
 * Waits until every process of the gateway answers a request.
 * @param {Running} running
 * @param {import('./processes.mjs').Processes} processes
 */
export async function untilServes({ ports, headers, watched, log }, processes) {
  const body = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 });
  const before = performance.now() + START_MS;
  let seen = 'no answer';
  const waiting = [...ports];
  while (performance.now() < before) {
    if (Object.values(watched).some(({ pid }) => processes.hasExited(pid)))
      throw new Error(`it exited before it served; its log: ${processes.lastWords(log)}`);
    try {
      const answer = await fetch(`http://127.0.0.1:${waiting[0]}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
        signal: AbortSignal.timeout(START_MS),
      });
      const text = await answer.text();
      if (answer.status === 200 && text.includes('"choices"')) waiting.shift();
      if (waiting.length === 0) return;
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
 * Runs a load from as many processes as the callers have cores, and reads the CPU time of every process before and after it.
 * @param {Running} running
 * @param {import('./loads.mjs').Load} load
 * @param {With} with_
 * @returns {Promise<Measured>}
 */
export async function measure(running, load, { processes, folder, cores }) {
  const bodyFile = join(folder, `${load.name}.json`);
  await writeFile(bodyFile, load.body());
  const { ports, headers, watched, enginePids = [] } = running;
  const count = Math.min(load.concurrency, Math.max(cores?.length ?? 1, ports.length));
  const callers = shares(load.concurrency, count).map((concurrency, i) => {
    const started = processes.fork(GENERATOR, cores === null ? null : [cores[i % cores.length] ?? 0]);
    const port = ports[i % ports.length] ?? 0;
    const { body: _, ...order } = load;
    return { ...started, order: { ...order, concurrency, port, headers, bodyFile } };
  });
  const side = [...callers.map(({ pid }) => pid), ...enginePids];
  const now = () => ({
    at: performance.now(),
    cpu: Object.fromEntries(Object.entries(watched).map(([name, one]) => [name, cpuSeconds(one)])),
    side: side.reduce((sum, pid) => sum + cpuSeconds({ pid, tree: true }), 0),
  });
  let memoryMiB = 0;
  /** @type {Record<string, number>} */
  let memoryEach = {};
  const readMemory = () => {
    const each = Object.entries(watched).map(([name, one]) => /** @type {const} */ ([name, residentMiB(one)]));
    const all = each.reduce((sum, [, mib]) => sum + mib, 0);
    if (all > memoryMiB) [memoryMiB, memoryEach] = [all, Object.fromEntries(each)];
  };
  const watch = setInterval(readMemory, MEMORY_EVERY_MS);
  /** One message of each caller. @param {string} kind @returns {Promise<any[]>} */
  const all = (kind) =>
    Promise.all(
      callers.map(
        ({ child }) =>
          new Promise((resolve, reject) => {
            child.on('message', (/** @type {any} */ message) => message.kind === kind && resolve(message));
            child.once('exit', (code) =>
              reject(new Error(`the load generator exited with ${code} under ${load.name}`)),
            );
          }),
      ),
    );
  /** @param {string} kind */
  const sampleAt = async (kind) => {
    const counts = await all(kind);
    return { ...now(), chunks: sumOf(counts, 'chunks'), answers: sumOf(counts, 'ok') };
  };
  try {
    const [warm, begin, end, done] = [all('warm'), sampleAt('steady-begins'), sampleAt('steady-ends'), all('done')];
    begin.catch(() => {});
    end.catch(() => {});
    done.catch(() => {});
    for (const { child, order } of callers) child.send(order);
    await warm;
    const before = now();
    for (const { child } of callers) child.send('go');
    const figures = (await done).map((message) => message.figures);
    const after = now();
    readMemory();
    return {
      figures: joined(figures),
      cpu: difference(before.cpu, after.cpu),
      steady: load.seconds * 1_000 > load.rampMs + 1_000 ? between(await begin, await end) : null,
      loadSide: after.side - before.side,
      memoryMiB,
      memoryEach,
    };
  } finally {
    clearInterval(watch);
    for (const { child } of callers) {
      child.removeAllListeners();
      if (child.connected) child.disconnect();
    }
  }
}

/** @param {readonly any[]} all @param {string} key @returns {number} */
function sumOf(all, key) {
  return all.reduce((sum, one) => sum + one[key], 0);
}

/**
 * @typedef {{ at: number, cpu: Record<string, number>, chunks: number, answers: number }} Sample
 * @param {Sample} begin @param {Sample} end @returns {Steady}
 */
function between(begin, end) {
  return {
    seconds: (end.at - begin.at) / 1_000,
    chunks: end.chunks - begin.chunks,
    answers: end.answers - begin.answers,
    cpu: difference(begin.cpu, end.cpu),
  };
}

/** @param {readonly import('../peers/load-generator.mjs').Figures[]} all @returns {Measured['figures']} */
function joined(all) {
  /** @type {Record<string, number>} */
  const errors = {};
  for (const one of all)
    for (const [reason, count] of Object.entries(one.errors)) errors[reason] = (errors[reason] ?? 0) + count;
  /** @param {'latency' | 'firstToken' | 'gap'} key */
  const times = (key) => {
    const sum = new Histogram();
    for (const one of all) sum.addAll(new Histogram(one[key]));
    return sum.summary();
  };
  return {
    ok: sumOf(all, 'ok'),
    chunks: sumOf(all, 'chunks'),
    incomplete: sumOf(all, 'incomplete'),
    wallSeconds: Math.max(...all.map(({ wallSeconds }) => wallSeconds)),
    errors,
    latency: times('latency'),
    firstToken: times('firstToken'),
    gap: times('gap'),
  };
}

/** @param {Record<string, number>} before @param {Record<string, number>} after */
function difference(before, after) {
  return Object.fromEntries(Object.entries(after).map(([name, seconds]) => [name, seconds - (before[name] ?? 0)]));
}
