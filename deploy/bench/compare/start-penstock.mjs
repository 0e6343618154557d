// @ts-check
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../local/up/ports.mjs';
import { family } from './cpu.mjs';
import { pin } from './processes.mjs';
import { DURABLE, IN_MEMORY, startRedis } from './redis.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const ENGINE = fileURLToPath(new URL('../peers/engine.mjs', import.meta.url));
/** A machine without a GPU, also if the benchmark runs on one that has some. */
const FACTS = {
  sku: null,
  vcpus: 2,
  memory_gib: 16,
  free_disk_gib: 16,
  driver: null,
  gpus: [],
  gpu_problem: 'the benchmark uses none',
  vllm: null,
};

/**
 * @typedef {object} Size
 * @property {number} gateways
 * @property {number} dispatchers each with a worker-launcher and an engine
 * @property {number} tokenMs time between two tokens of the engine
 */

/**
 * The product as it is shipped: gateways, worker-launchers and two Redis. A launcher starts the fast engine in place of vLLM.
 * @param {import('./peers.mjs').Place} place
 * @param {Size} [size]
 * @returns {Promise<import('./peers.mjs').Running>}
 */
export async function startPenstock(
  place,
  { gateways, dispatchers, tokenMs } = { gateways: 1, dispatchers: 1, tokenMs: 20 },
) {
  const { processes, folder } = place;
  // The first cores are for the processes that work most.
  const [redisCore, launcherCore] = [gateways + dispatchers, gateways + dispatchers + 2];
  const queue = await startRedis(place, redisCore, DURABLE);
  const replies = await startRedis(place, redisCore + 1, IN_MEMORY);
  const urls = { queue: queue.url, replies: replies.url };
  const bin = await writeCommand(place, dispatchers, tokenMs);
  const facts = join(folder, 'facts.json');
  await writeFile(facts, JSON.stringify(FACTS));
  /** @type {Record<string, import('./cpu.mjs').Watched>} */
  const watched = {
    'queue Redis': { pid: queue.pid, tree: false },
    'reply Redis': { pid: replies.pid, tree: false },
  };
  const ports = [];
  for (let n = 1; n <= gateways; n += 1) {
    const [port, internal] = [await freePort(), await freePort()];
    const pid = processes.start({
      name: `gateway-${n}`,
      file: process.execPath,
      args: ['dist/gateway/main.js'],
      cwd: ROOT,
      env: {
        GATEWAY_REDIS_URL: urls.queue,
        GATEWAY_REPLY_REDIS_URL: urls.replies,
        GATEWAY_PORT: String(port),
        GATEWAY_INTERNAL_PORT: String(internal),
        // All callers have one address here.
        GATEWAY_CONNECTIONS_PER_ADDRESS: '10000',
      },
      cores: place.core(n - 1),
      ipc: true,
    });
    ports.push(port);
    watched[numbered('gateway', n, gateways)] = { pid, tree: false };
  }
  /** @type {number[]} */
  const launchers = [];
  for (let n = 1; n <= dispatchers; n += 1) {
    const pid = processes.start({
      name: `launcher-${n}`,
      file: process.execPath,
      args: ['dist/worker-launcher/main.js'],
      cwd: ROOT,
      env: {
        PATH: `${bin}:${process.env['PATH'] ?? ''}`,
        WORKER_REDIS_URL: urls.queue,
        WORKER_REPLY_REDIS_URL: urls.replies,
        WORKER_INTERNAL_PORT: String(await freePort()),
        WORKER_NODE: `bench-${n}`,
        WORKER_FACTS_FILE: facts,
        WORKER_ENGINE: 'vllm',
        WORKER_ENGINES: '1',
        WORKER_OVERRIDE_SKU: 'true',
        WORKER_WEIGHTS: folder,
        // The engine takes everything, as it does from the other gateways.
        WORKER_MAX_IN_FLIGHT_TEXT: '8192',
        WORKER_MAX_IN_FLIGHT_IMAGE: '256',
        WORKER_STATE_DIR: join(folder, `worker-${n}`),
      },
      // The launchers do almost nothing, so they share a core.
      cores: place.core(launcherCore),
      ipc: true,
    });
    launchers.push(pid);
    watched[numbered('launcher', n, dispatchers)] = { pid, tree: false };
  }
  const settled = () => {
    /** @type {typeof watched} */
    const found = {};
    launchers.forEach((launcher, i) => {
      const pid = childOf(launcher, 'dispatch/main');
      pin(pid, place.core(gateways + i));
      found[numbered('dispatcher', i + 1, dispatchers)] = { pid, tree: false };
    });
    return { watched: found, enginePids: launchers.map((launcher) => childOf(launcher, 'engine.mjs')) };
  };
  return { ports, headers: {}, watched, log: 'launcher-1', settled };
}

/** The command `vllm`. @param {import('./peers.mjs').Place} place @param {number} engines @param {number} tokenMs @returns {Promise<string>} its folder */
async function writeCommand({ folder, engineCores }, engines, tokenMs) {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  const file = join(bin, 'vllm');
  const pinned = engineCores === null ? '' : `taskset -c ${engineCores.join(',')} `;
  const processes = Math.max(1, Math.floor((engineCores?.length ?? 1) / engines));
  await writeFile(
    file,
    `#!/bin/sh\n[ "$1" = --version ] && exec echo 0.24.0\nexec ${pinned}'${process.execPath}' '${ENGINE}' "$@" --processes ${processes} --token-ms ${tokenMs}\n`,
  );
  await chmod(file, 0o755);
  return bin;
}

/** @param {string} name @param {number} n @param {number} all */
const numbered = (name, n, all) => (all === 1 ? name : `${name} ${n}`);

/** @param {number} launcher @param {string} program part of the command line */
function childOf(launcher, program) {
  const found = family(launcher).find((pid) => pid !== launcher && commandLine(pid).includes(program));
  if (found === undefined) throw new Error(`the launcher has no child process ${program}`);
  return found;
}

/** @param {number} pid */
function commandLine(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
