// @ts-check
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { endProgram, known, sendSignal, startProgram, until } from '../drill/processes.mjs';
import { RedisServer } from '../drill/redis-server.mjs';
import { freePort } from '#runtime/free-port';

const END_WITHIN_MS = 50_000;
const GATEWAY_WITHIN_MS = 30_000;
const Ready = z.object({ readyEngines: z.number() });
const Status = z.object({
  dispatchers: z.array(z.object({ pid: z.number().nullable() })),
  engines: z.array(
    z.object({
      id: z.string(),
      pid: z.number().nullable(),
      port: z.number().nullable(),
      state: z.string(),
      gpus: z.array(z.string()),
      restarts: z.number(),
      lastFailure: z.string().nullable(),
      stage: z.string().nullable(),
    }),
  ),
});

/** @typedef {z.infer<typeof Status>['engines'][number]} Engine */

/**
 * Redis, gateways and one worker-launcher, which can be replaced by one with another number of engines.
 * @typedef {object} Options
 * @property {'vllm' | 'simulator'} engine
 * @property {number} gateways
 * @property {Record<string, string>} workerEnv
 * @property {string} out folder for logs
 */
export class Stack {
  /** @type {import('../drill/processes.mjs').Program[]} */
  #gateways = [];
  /** @type {string[]} */
  urls = [];
  /** @type {string[]} */
  #internalUrls = [];
  /** @type {import('../drill/processes.mjs').Program | undefined} */
  #launcher;
  #launcherUrl = '';
  #options;
  #folder;

  /** @param {RedisServer} redis @param {string} folder @param {Options} options */
  constructor(redis, folder, options) {
    this.redis = redis;
    this.#folder = folder;
    this.#options = options;
  }

  /** @param {Options} options */
  static async start(options) {
    const stack = new Stack(await RedisServer.start(), await mkdtemp(join(tmpdir(), 'penstock-gpu-')), options);
    for (let i = 0; i < options.gateways; i += 1) {
      const [port, internal] = [await freePort(), await freePort()];
      const env = { GATEWAY_PORT: String(port), GATEWAY_INTERNAL_PORT: String(internal), GATEWAY_LOG_LEVEL: 'warn' };
      const gateway = startProgram(process.execPath, ['dist/gateway/main.js'], {
        ...process.env,
        ...env,
        GATEWAY_REDIS_URL: stack.redis.url,
        NODE_ENV: 'production',
      });
      stack.#gateways.push(gateway);
      stack.urls.push(`http://127.0.0.1:${port}`);
      const internalUrl = `http://127.0.0.1:${internal}`;
      stack.#internalUrls.push(internalUrl);
      const lives = async () => !gateway.ended() && (await fetch(`${internalUrl}/livez`)).ok;
      await until('a gateway answers', lives, GATEWAY_WITHIN_MS).catch((cause) => {
        throw new Error(`a gateway did not start: ${gateway.output()}`, { cause });
      });
    }
    return stack;
  }

  /**
   * Starts a launcher with this many engines, instead of the running one.
   * @param {number} engines @param {number} withinMs @param {(line: string) => void} say
   * @returns {Promise<Map<string, number>>} seconds from the start of the launcher to ready, by engine
   */
  async launch(engines, withinMs, say) {
    await this.#endLauncher();
    const internal = await freePort();
    this.#launcherUrl = `http://127.0.0.1:${internal}`;
    const startedAt = performance.now();
    const launcher = startProgram(process.execPath, ['dist/worker-launcher/main.js'], {
      ...process.env,
      WORKER_REDIS_URL: this.redis.url,
      WORKER_INTERNAL_PORT: String(internal),
      WORKER_ENGINE: this.#options.engine,
      WORKER_ENGINES: String(engines),
      // The load without Penstock is sent to the engines directly.
      WORKER_ENGINE_PORT: String(await freePort()),
      WORKER_STATE_DIR: join(this.#folder, 'worker'),
      NODE_ENV: 'production',
      ...this.#options.workerEnv,
    });
    this.#launcher = launcher;
    /** @type {Map<string, number>} */
    const seconds = new Map();
    /** @type {Map<string, string>} */
    const told = new Map();
    /** Throws for failures that waiting does not solve. */
    const hopeless = async () => {
      if (launcher.ended()) return 'the launcher ended';
      for (const { id, state, stage, lastFailure, restarts } of await this.engines()) {
        const line = `${id} ${state} ${stage ?? ''} ${lastFailure ?? ''}`.trim();
        if (told.get(id) !== line) say(line);
        told.set(id, line);
        if (state === 'ready' && !seconds.has(id)) seconds.set(id, (performance.now() - startedAt) / 1_000);
        if (state === 'stopped' || restarts > 1) return line;
      }
      return undefined;
    };
    /** @type {unknown} */
    let problem;
    const settled = async () => (problem = await hopeless()) !== undefined || seconds.size === engines;
    await until('all engines are ready', settled, withinMs).catch((/** @type {unknown} */ cause) => (problem = cause));
    if (problem !== undefined)
      throw new Error(`the engines did not start: ${String(problem)}\n${launcher.output().slice(-6_000)}`);
    return seconds;
  }

  /** Waits until each gateway sees exactly this many engines, because an earlier launcher's stay visible for some seconds. @param {number} engines */
  async seen(engines) {
    for (const url of this.#internalUrls) {
      const isSo = async () => Ready.parse(await (await fetch(`${url}/readyz`)).json()).readyEngines === engines;
      await until(`a gateway sees ${engines} engines`, isSo, GATEWAY_WITHIN_MS);
    }
  }

  /** @returns {Promise<z.infer<typeof Status>>} */
  async status() {
    const answer = await fetch(`${this.#launcherUrl}/status`, { signal: AbortSignal.timeout(5_000) });
    return Status.parse(await answer.json());
  }

  async engines() {
    return (await this.status()).engines;
  }

  /** @returns {Promise<string[]>} addresses of the engines that are ready */
  async engineUrls() {
    return (await this.engines())
      .filter(({ state }) => state === 'ready')
      .map(({ port }) => `http://127.0.0.1:${port}`);
  }

  /** Process ids by part; an engine's are those of its entire group. */
  async pids() {
    const { dispatchers, engines } = await this.status();
    return {
      gateway: this.#gateways.map(({ pid }) => pid),
      dispatcher: dispatchers.flatMap(({ pid }) => pid ?? []),
      launcher: [this.#launcher?.pid ?? 0],
      redis: this.redis.pids(),
      engineGroups: engines.flatMap(({ pid }) => pid ?? []),
    };
  }

  /** Sends a signal to all processes of an engine. @param {Engine} engine @param {NodeJS.Signals} signal */
  signalEngine(engine, signal) {
    const leader = known(engine.pid ?? 0);
    if (leader !== undefined) sendSignal(leader, signal, { group: true });
  }

  /** The log so far, with the engines' output. @param {string} name */
  async keepLogs(name) {
    await writeFile(join(this.#options.out, `${name}-launcher.log`), this.#launcher?.output() ?? '');
    await writeFile(
      join(this.#options.out, `${name}-gateways.log`),
      this.#gateways.map(({ output }) => output()).join('\n'),
    );
  }

  async #endLauncher() {
    if (this.#launcher !== undefined) await endProgram(this.#launcher, END_WITHIN_MS);
    this.#launcher = undefined;
  }

  async stop() {
    await this.#endLauncher();
    await Promise.all(this.#gateways.map((gateway) => endProgram(gateway, 5_000)));
    await this.redis.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
