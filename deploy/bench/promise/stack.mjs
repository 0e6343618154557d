// @ts-check
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { redisKeys } from '#contract/redis-keys';
import { freePort } from '#runtime/free-port';
import { Redis } from 'ioredis';
import { cpuSeconds } from '../compare/cpu.mjs';
import { Processes } from '../compare/processes.mjs';
import { DURABLE, IN_MEMORY, startRedis } from '../compare/redis.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const MODEL = 'Phi-3-vision-128k-instruct';
const GATEWAYS = 3;
/** Time for all processes to start on a busy machine, in ms. */
const START_MS = 180_000;
const LOOK_MS = 200;

/**
 * @typedef {object} Size
 * @property {number} launchers
 * @property {number} engines of each launcher
 * @property {number} slots of each engine
 * @property {number} tokenMs of the simulator
 *
 * @typedef {object} StackOptions
 * @property {Size} size
 * @property {Record<string, number>} [keys] weight of each key, by id; absent: no keys
 * @property {Record<string, string>} [gatewayEnv]
 * @property {Record<string, string>} [workerEnv]
 *
 * @typedef {object} Engine as its launcher reports it
 * @property {number} launcher
 * @property {string} id
 * @property {string | null} socket
 * @property {string} state
 * @property {number} restarts
 * @property {{ reason: string } | null} outlier
 *
 * @typedef {Awaited<ReturnType<typeof startStack>>} Stack
 */

/** @param {string} id */
const keyOf = (id) => `key-of-${id}`;

/**
 * Two Redis, three gateways, and launchers of simulated engines. An exit of this program ends them too.
 * @param {StackOptions} options
 */
export async function startStack({ size, keys, gatewayEnv = {}, workerEnv = {} }) {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-promise-'));
  const processes = new Processes(folder);
  const onExit = () => {
    processes.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', onExit);
  /** @type {Redis | undefined} */
  let redis;
  const end = async () => {
    redis?.disconnect();
    await processes.end();
    process.off('exit', onExit);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const place = { processes, folder, core: () => null, engineCores: null, cache: '' };
    const [queue, replies] = [await startRedis(place, 0, DURABLE), await startRedis(place, 1, IN_MEMORY)];
    const urls = (/** @type {string} */ who) => ({
      [`${who}_REDIS_URL`]: queue.url,
      [`${who}_REPLY_REDIS_URL`]: replies.url,
      [`${who}_REDIS_WAIT_MS`]: '60000',
    });
    const keyFile = keys === undefined ? {} : { GATEWAY_KEYS_FILE: await writeKeys(folder, keys) };
    const start = (/** @type {string} */ name, /** @type {string} */ file, /** @type {Record<string, string>} */ env) =>
      processes.start({ name, file: process.execPath, args: [join('dist', file)], env, cwd: ROOT, ipc: true });
    const gateways = /** @type {{ pid: number, port: number, internal: number }[]} */ ([]);
    for (let n = 0; n < GATEWAYS; n += 1) {
      const [port, internal] = [await freePort(), await freePort()];
      const ports = { GATEWAY_PORT: String(port), GATEWAY_INTERNAL_PORT: String(internal) };
      const env = { ...urls('GATEWAY'), ...ports, ...keyFile, ...gatewayEnv };
      gateways.push({ pid: start(`gateway-${n}`, 'gateway/main.js', env), port, internal });
    }
    const launchers = /** @type {{ pid: number, internal: number }[]} */ ([]);
    for (let n = 0; n < size.launchers; n += 1) {
      const internal = await freePort();
      const env = {
        ...urls('WORKER'),
        WORKER_INTERNAL_PORT: String(internal),
        WORKER_ENGINE: 'simulator',
        WORKER_ENGINES: String(size.engines),
        WORKER_NODE: `node-${n}`,
        WORKER_STATE_DIR: join(folder, `worker-${n}`),
        WORKER_MAX_IN_FLIGHT_TEXT: String(size.slots),
        WORKER_MAX_IN_FLIGHT_IMAGE: String(size.slots),
        WORKER_LOG_LEVEL: 'debug',
        PENSTOCK_SIM_ITL_MS: String(size.tokenMs),
        ...workerEnv,
      };
      launchers.push({ pid: start(`launcher-${n}`, 'worker-launcher/main.js', env), internal });
    }
    const engines = size.launchers * size.engines;
    for (const { internal } of gateways)
      await until(`a gateway sees ${engines} engines`, async () => {
        return (await page(internal, '/readyz')).readyEngines >= engines;
      });
    const dispatchers = (await Promise.all(launchers.map(({ internal }) => page(internal, '/status')))).flatMap(
      (status) => status.dispatchers.map((/** @type {{ pid: number }} */ { pid }) => pid),
    );
    const client = new Redis(queue.url, { maxRetriesPerRequest: null });
    redis = client;
    const prefix = `${redisKeys.queuePrefix(MODEL)}:text:`;
    return {
      urls: gateways.map(({ port }) => `http://127.0.0.1:${port}`),
      gatewayPids: gateways.map(({ pid }) => pid),
      redis: client,
      size,
      slots: engines * size.slots,
      /** files of the programs' log lines */
      logs: {
        gateways: gateways.map((_, n) => join(folder, `gateway-${n}.log`)),
        launchers: launchers.map((_, n) => join(folder, `launcher-${n}.log`)),
      },
      /** @param {string} id @returns {Record<string, string>} */
      headersOf: (id) => (keys === undefined ? {} : { authorization: `Bearer ${keyOf(id)}` }),
      /** Jobs that no dispatcher has taken. */
      waiting: async () => (await client.zcard(`${prefix}prioritized`)) + (await client.llen(`${prefix}wait`)),
      /** CPU seconds so far, by program */
      cpu: () => ({
        gateways: cpuOf(gateways.map(({ pid }) => pid)),
        dispatchers: cpuOf(dispatchers),
        redis: cpuOf([queue.pid, replies.pid]),
      }),
      /** @returns {Promise<Engine[]>} */
      engines: async () => {
        const all = launchers.map(async ({ internal }, launcher) => {
          const status = await page(internal, '/status');
          return status.engines.map((/** @type {Engine} */ one) => ({ ...one, launcher }));
        });
        return (await Promise.all(all)).flat();
      },
      end,
    };
  } catch (cause) {
    await end();
    throw cause;
  }
}

/** @param {readonly number[]} pids */
const cpuOf = (pids) => sumOf(pids.map((pid) => cpuSeconds({ pid, tree: false })));

/** @param {number} port @param {string} path @returns {Promise<any>} */
async function page(port, path) {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).json();
}

/** @param {string} folder @param {Record<string, number>} keys */
async function writeKeys(folder, keys) {
  const file = join(folder, 'keys.yaml');
  const entries = Object.entries(keys).map(([id, weight]) => {
    const primary = createHash('sha256').update(keyOf(id)).digest('hex');
    return { id, primary, weight, tiers: ['priority', 'default', 'flex'] };
  });
  await writeFile(file, JSON.stringify({ keys: entries }), { mode: 0o600 });
  return file;
}

/**
 * Polls until `probe` is true; an error counts as no.
 * @param {string} what @param {() => Promise<boolean>} probe @param {number} [limitMs]
 * @throws Error after the limit
 */
async function until(what, probe, limitMs = START_MS) {
  const end = performance.now() + limitMs;
  for (;;) {
    if (await probe().catch(() => false)) return;
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await pause(LOOK_MS);
  }
}

/** @param {readonly number[]} values */
export const sumOf = (values) => values.reduce((sum, one) => sum + one, 0);
