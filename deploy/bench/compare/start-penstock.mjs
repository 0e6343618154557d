// @ts-check
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../local/up/ports.mjs';
import { family } from './cpu.mjs';
import { pin } from './processes.mjs';
import { DURABLE, IN_MEMORY, startRedis } from './redis.mjs';

const ENGINE = fileURLToPath(new URL('../peers/engine.mjs', import.meta.url));

/**
 * The product as it is shipped: a gateway, a worker-launcher and two Redis. The launcher starts the fast engine in place of vLLM.
 * @param {import('./peers.mjs').Place} place
 * @returns {Promise<import('./peers.mjs').Running>}
 */
export async function startPenstock(place) {
  const { processes, folder, core } = place;
  const queue = await startRedis(place, 3, DURABLE);
  const replies = await startRedis(place, 4, IN_MEMORY);
  const [port, internal, launcherPort] = [await freePort(), await freePort(), await freePort()];
  const bin = join(folder, 'bin');
  await mkdir(bin);
  const pinned = place.engineCore === null ? '' : `taskset -c ${place.engineCore} `;
  await writeFile(
    join(bin, 'vllm'),
    `#!/bin/sh\n[ "$1" = --version ] && exec echo 0.24.0\nexec ${pinned}'${process.execPath}' '${ENGINE}' "$@"\n`,
  );
  await chmod(join(bin, 'vllm'), 0o755);
  const gateway = processes.start({
    name: 'gateway',
    file: process.execPath,
    args: ['dist/gateway/main.js'],
    env: {
      GATEWAY_REDIS_URL: queue.url,
      GATEWAY_REPLY_REDIS_URL: replies.url,
      GATEWAY_PORT: String(port),
      GATEWAY_INTERNAL_PORT: String(internal),
      // All callers have one address here.
      GATEWAY_CONNECTIONS_PER_ADDRESS: '10000',
    },
    core: core(0),
    ipc: true,
  });
  const launcher = processes.start({
    name: 'launcher',
    file: process.execPath,
    args: ['dist/worker-launcher/main.js'],
    env: {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      WORKER_REDIS_URL: queue.url,
      WORKER_REPLY_REDIS_URL: replies.url,
      WORKER_INTERNAL_PORT: String(launcherPort),
      WORKER_ENGINE: 'vllm',
      WORKER_ENGINES: '1',
      WORKER_OVERRIDE_SKU: 'true',
      WORKER_WEIGHTS: folder,
      // The engine takes everything, as it does from the other gateways.
      WORKER_MAX_IN_FLIGHT_TEXT: '4096',
      WORKER_MAX_IN_FLIGHT_IMAGE: '256',
      WORKER_STATE_DIR: join(folder, 'worker'),
    },
    core: core(1),
    ipc: true,
  });
  return {
    port,
    headers: {},
    watched: {
      gateway: { pid: gateway, tree: false },
      launcher: { pid: launcher, tree: false },
      'queue Redis': { pid: queue.pid, tree: false },
      'reply Redis': { pid: replies.pid, tree: false },
    },
    log: 'launcher',
    settled: () => {
      const dispatcher = childOf(launcher, 'dispatch/main');
      pin(dispatcher, core(2));
      return { watched: { dispatcher: { pid: dispatcher, tree: false } }, enginePid: childOf(launcher, 'engine.mjs') };
    },
  };
}

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
