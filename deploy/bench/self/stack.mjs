// @ts-check
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '#runtime/free-port';
import { Pool } from 'undici';
import { cpuSeconds } from '../compare/cpu.mjs';
import { askPlain } from './callers.mjs';

/** Requests before the measurement, and how many of them at a time. */
const WARM_UP = 500;
const WARM_UP_AT_A_TIME = 128;

/**
 * @typedef {object} Stack
 * @property {Pool} pool of connections to the gateway
 * @property {Readonly<Record<string, readonly number[]>>} pids of each program
 * @property {string} redisUrl of the first Redis
 * @property {() => Promise<void>} end
 *
 * @typedef {object} Choice
 * @property {string} [root] of a built checkout; default: this one
 * @property {boolean} [oneRedis] bodies and replies in the queue's Redis
 * @property {readonly string[]} [gatewayFlags] of Node
 * @property {Readonly<Record<string, string>>} [env] further variables of gateway and launcher
 * @property {number} [connections] of the callers, at most
 */

/**
 * Redis, gateway and launcher with one simulator engine.
 * @param {Record<string, string>} engine settings of the simulator
 * @param {Choice} [choice]
 * @returns {Promise<Stack>}
 */
export async function startStack(engine, choice = {}) {
  const { root = '.', oneRedis = false, gatewayFlags = [], env = {}, connections = WARM_UP_AT_A_TIME } = choice;
  const folder = await mkdtemp(join(tmpdir(), 'penstock-bench-'));
  /** @type {import('node:child_process').ChildProcess[]} */
  const children = [];
  /** @param {string} file @param {readonly string[]} args @param {Record<string, string>} own @param {boolean} ours */
  const start = (file, args, own, ours) => {
    /** @type {import('node:child_process').StdioOptions} */
    const stdio = ours ? ['ignore', 'ignore', 'inherit', 'ipc'] : ['ignore', 'ignore', 'inherit'];
    const child = spawn(file, args, {
      env: { ...process.env, ...(ours ? env : {}), ...own },
      stdio,
      cwd: ours ? root : folder,
    });
    children.push(child);
    return child.pid ?? 0;
  };
  /** @param {readonly string[]} args */
  const startRedis = async (args) => {
    const port = await freePort();
    const all = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', ...args];
    return { pid: start('redis-server', all, {}, false), url: `redis://127.0.0.1:${port}` };
  };
  const end = async () => {
    for (const child of children.reverse()) {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done));
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const redis = await startRedis(['--appendonly', 'yes', '--appendfsync', 'everysec']);
    const replies = oneRedis ? redis : await startRedis(['--appendonly', 'no']);
    const [port, internal, launcherPort] = [await freePort(), await freePort(), await freePort()];
    const gatewayEnv = {
      GATEWAY_REDIS_URL: redis.url,
      GATEWAY_REPLY_REDIS_URL: replies.url,
      GATEWAY_PORT: String(port),
      GATEWAY_INTERNAL_PORT: String(internal),
    };
    const gateway = start(process.execPath, [...gatewayFlags, 'dist/gateway/main.js'], gatewayEnv, true);
    const workerEnv = {
      WORKER_REDIS_URL: redis.url,
      WORKER_REPLY_REDIS_URL: replies.url,
      WORKER_INTERNAL_PORT: String(launcherPort),
      WORKER_ENGINE: 'simulator',
      WORKER_ENGINES: '1',
      WORKER_STATE_DIR: join(folder, 'worker'),
      ...engine,
    };
    const launcher = start(process.execPath, ['dist/worker-launcher/main.js'], workerEnv, true);
    await until(`http://127.0.0.1:${internal}/readyz?workers=1`, (body) => body.status === 'ok');
    const { workers } = await until(`http://127.0.0.1:${internal}/status`, (body) => body.workers.length > 0);
    const pids = {
      gateway: [gateway],
      dispatcher: [Number(workers[0].pid)],
      launcher: [launcher],
      Redis: [...new Set([redis.pid, replies.pid])],
    };
    const pool = new Pool(`http://127.0.0.1:${port}`, { connections });
    await askPlain(pool, WARM_UP, WARM_UP_AT_A_TIME);
    return {
      pool,
      pids,
      redisUrl: redis.url,
      end: async () => {
        await pool.close();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** @param {string} url @param {(body: any) => boolean} is @returns {Promise<any>} */
async function until(url, is) {
  for (let i = 0; i < 300; i += 1) {
    const body = await fetch(url).then(
      (r) => r.json(),
      () => undefined,
    );
    if (body !== undefined && is(body)) return body;
    await pause(100);
  }
  throw new Error(`${url} did not become ready`);
}

/**
 * Runs `work` between two readings of each program's CPU time.
 * @param {Stack['pids']} pids
 * @param {() => Promise<number>} work
 * @returns {Promise<import('./turns.mjs').Turn>}
 */
export async function measured(pids, work) {
  const seconds = () =>
    Object.entries(pids).map(
      ([name, all]) =>
        /** @type {const} */ ([name, all.reduce((sum, pid) => sum + cpuSeconds({ pid, tree: false }), 0)]),
    );
  const before = Object.fromEntries(seconds());
  const startedAt = performance.now();
  const count = await work();
  const wallSeconds = (performance.now() - startedAt) / 1_000;
  const used = Object.fromEntries(seconds().map(([name, now]) => [name, now - (before[name] ?? 0)]));
  return { count, used, wallSeconds };
}
