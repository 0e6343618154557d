// @ts-check
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/**
 * @typedef {object} Reading
 * @property {number} at ms since 1970
 * @property {{ at: number, generated: number, prompt: number }[]} engines tokens since their start
 * @property {Record<string, number>} cpuSeconds by part, since the start of its processes
 * @property {number} xadds entries written to Redis streams
 */

/**
 * Reads all meters at nearly one instant.
 * @param {import('./stack.mjs').Stack} stack @param {readonly string[]} engineUrls @param {readonly number[]} clients
 * @returns {Promise<Reading>}
 */
export async function readMeters(stack, engineUrls, clients) {
  const { engineGroups, ...pids } = await stack.pids();
  const [engines, stats] = await Promise.all([
    Promise.all(engineUrls.map(tokensOf)),
    stack.redis.client.info('commandstats'),
  ]);
  const cpuSeconds = { ...cpuOf({ ...pids, clients }), engines: cpuOfGroups(new Set(engineGroups)) };
  const xadds = Number(/cmdstat_xadd:calls=(\d+)/.exec(stats)?.[1] ?? 0);
  return { at: Date.now(), engines, cpuSeconds, xadds };
}

/** Rates between two readings. @param {Reading} before @param {Reading} after */
export function rates(before, after) {
  const seconds = (after.at - before.at) / 1_000;
  const sum = (/** @type {'generated' | 'prompt'} */ what) =>
    after.engines.reduce((all, engine, index) => {
      const earlier = before.engines[index];
      return earlier === undefined ? all : all + ((engine[what] - earlier[what]) * 1_000) / (engine.at - earlier.at);
    }, 0);
  const cpu = Object.entries(after.cpuSeconds).map(([part, used]) => [part, used - (before.cpuSeconds[part] ?? 0)]);
  return {
    seconds,
    tokensPerSecond: sum('generated'),
    promptTokensPerSecond: sum('prompt'),
    xaddsPerSecond: (after.xadds - before.xadds) / seconds,
    /** @type {Record<string, number>} */
    cpuSeconds: Object.fromEntries(cpu),
  };
}

/** An engine's running and waiting requests. @param {string} url */
export async function busy(url) {
  const page = await (await fetch(`${url}/metrics`)).text();
  return sample(page, 'vllm:num_requests_running') + sample(page, 'vllm:num_requests_waiting');
}

/** @param {string} url */
async function tokensOf(url) {
  const page = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  const at = performance.timeOrigin + performance.now();
  return {
    at,
    generated: sample(page, 'vllm:generation_tokens_total'),
    prompt: sample(page, 'vllm:prompt_tokens_total'),
  };
}

/** @param {string} page @param {string} name */
function sample(page, name) {
  const lines = page.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** @param {Record<string, readonly number[]>} parts */
function cpuOf(parts) {
  const used = (/** @type {readonly number[]} */ pids) =>
    pids.reduce((sum, pid) => sum + (statOf(pid)?.cpuSeconds ?? 0), 0);
  return Object.fromEntries(Object.entries(parts).map(([part, pids]) => [part, used(pids)]));
}

/** @param {ReadonlySet<number>} groups */
function cpuOfGroups(groups) {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return all.reduce((sum, name) => {
    const stat = statOf(Number(name));
    return stat !== undefined && groups.has(stat.group) ? sum + stat.cpuSeconds : sum;
  }, 0);
}

/** @param {number} pid */
function statOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { group: Number(fields[2]), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND };
  } catch {
    return undefined;
  }
}
