// @ts-check
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';
import { ROOT, endProgram, known, lives, sendSignal, startProgram, until } from './processes.mjs';
import { askEngine, setFaults } from '../support/engine-request.mjs';
import { RedisServer } from './redis-server.mjs';

const room = z.object({ text: z.number(), image: z.number() });
/** The fields that the drills read from the programs' own pages. */
const Ready = z.object({ readyEngines: z.number() });
const GatewayStatus = z.object({ openRequests: z.number() });
const LauncherStatus = z.object({
  dispatchers: z.array(z.object({ pid: z.number().nullable() })),
  engines: z.array(
    z.object({
      id: z.string(),
      pid: z.number().nullable(),
      port: z.number().nullable(),
      // Launchers of earlier releases have none.
      socket: z.string().nullable().default(null),
      state: z.string(),
      inFlight: room,
    }),
  ),
});

const READY_WITHIN_MS = 90_000;
const END_WITHIN_MS = 60_000;

/**
 * @typedef {import('./processes.mjs').Program & { port: number, url: string, internalUrl: string }} Gateway
 * @typedef {import('./processes.mjs').Program & { internalUrl: string }} Launcher
 * @typedef {z.infer<typeof LauncherStatus>['engines'][number]} EngineStatus
 * @typedef {object} StackOptions
 * @property {number} [gateways]
 * @property {number} [launchers]
 * @property {number} [engines] per launcher
 * @property {Record<string, string>} [gatewayEnv]
 * @property {Record<string, string>} [workerEnv]
 * @property {RedisServer} [redis] used instead of an own one; stops with the stack
 * @property {boolean} [oneRedis] bodies and replies are in the queue's Redis too
 * @property {string} [redisUrl] its URL for the programs, if different
 * @property {readonly string[]} [gatewayRoots] checkouts of the first gateways, in starting order; the others use this checkout
 * @property {readonly string[]} [launcherRoots] the same for launchers
 */

/** Two Redis, gateways and launchers with simulator engines, as real processes on their own ports and in their own folders. */
export class Stack {
  /** @type {Gateway[]} */
  gateways = [];
  /** @type {Launcher[]} */
  launchers = [];
  /** every process of a launcher that was ever seen, by pid @type {Map<number, import('./processes.mjs').Known>} */
  #seen = new Map();
  #nodes = 0;
  /** @type {StackOptions} */
  #options;

  /** @param {RedisServer} redis @param {RedisServer} replyRedis @param {string} folder @param {StackOptions} options */
  constructor(redis, replyRedis, folder, options) {
    this.redis = redis;
    /** Redis of bodies and replies */
    this.replyRedis = replyRedis;
    this.folder = folder;
    this.#options = options;
  }

  /** Starts a stack; ready when each gateway sees each engine. @param {StackOptions} [options] */
  static async start(options = {}) {
    const folder = await mkdtemp(join(tmpdir(), 'penstock-drill-'));
    const redis = options.redis ?? (await RedisServer.start());
    const replyRedis = options.oneRedis === true ? redis : await RedisServer.start({ appendonly: false });
    const stack = new Stack(redis, replyRedis, folder, options);
    try {
      for (let i = 0; i < (options.gateways ?? 1); i += 1) await stack.startGateway();
      for (let i = 0; i < (options.launchers ?? 1); i += 1) await stack.startLauncher();
      await stack.ready((options.launchers ?? 1) * (options.engines ?? 1));
      return stack;
    } catch (cause) {
      const outputs = [...stack.gateways, ...stack.launchers].map(({ output }) => output().slice(-2_000));
      await stack.stop();
      throw new Error(`the stack did not start:\n${outputs.join('\n')}`, { cause });
    }
  }

  async startGateway() {
    const [port, internal] = [await freePort(), await freePort()];
    const root = this.#options.gatewayRoots?.[this.gateways.length] ?? ROOT;
    const program = startProgram(process.execPath, [join(root, 'dist/gateway/main.js')], {
      ...this.#base('GATEWAY'),
      GATEWAY_MODELS_DIR: join(root, 'deploy/models'),
      GATEWAY_PORT: String(port),
      GATEWAY_INTERNAL_PORT: String(internal),
      ...this.#options.gatewayEnv,
    });
    const urls = { port, url: `http://127.0.0.1:${port}`, internalUrl: `http://127.0.0.1:${internal}` };
    const gateway = { ...program, ...urls };
    this.gateways.push(gateway);
    return gateway;
  }

  /** @param {Record<string, string>} [env] variables of this one only */
  async startLauncher(env = {}) {
    const internal = await freePort();
    this.#nodes += 1;
    const root = this.#options.launcherRoots?.[this.launchers.length] ?? ROOT;
    const program = startProgram(process.execPath, [join(root, 'dist/worker-launcher/main.js')], {
      ...this.#base('WORKER'),
      WORKER_MODELS_DIR: join(root, 'deploy/models'),
      WORKER_INTERNAL_PORT: String(internal),
      WORKER_ENGINE: 'simulator',
      WORKER_ENGINES: String(this.#options.engines ?? 1),
      WORKER_NODE: `node-${this.#nodes}`,
      WORKER_STATE_DIR: join(this.folder, `worker-${this.#nodes}`),
      ...this.#options.workerEnv,
      ...env,
    });
    const launcher = { ...program, internalUrl: `http://127.0.0.1:${internal}` };
    this.launchers.push(launcher);
    return launcher;
  }

  /** @param {'GATEWAY' | 'WORKER'} who @returns {NodeJS.ProcessEnv} */
  #base(who) {
    const url = this.#options.redisUrl ?? this.redis.url;
    const second = this.#servers.length > 1 ? { [`${who}_REPLY_REDIS_URL`]: this.replyRedis.url } : {};
    // Redis may stand behind a proxy in this process, which is busy with other drills.
    const wait = { [`${who}_REDIS_WAIT_MS`]: '60000' };
    return { PATH: process.env['PATH'], HOME: process.env['HOME'], [`${who}_REDIS_URL`]: url, ...wait, ...second };
  }

  get #servers() {
    return [...new Set([this.redis, this.replyRedis])];
  }

  /** Waits until each running gateway sees at least this many engines. @param {number} engines */
  async ready(engines) {
    for (const { internalUrl } of this.runningGateways()) {
      const isReady = async () => {
        const answer = await fetch(`${internalUrl}/readyz`);
        return answer.ok && Ready.parse(await answer.json()).readyEngines >= engines;
      };
      await until(`a gateway sees ${engines} engines`, isReady, READY_WITHIN_MS);
    }
    await until('every launcher answers', () => this.engines(), READY_WITHIN_MS);
  }

  runningGateways() {
    return this.gateways.filter(({ ended }) => !ended());
  }

  /** @param {Launcher} launcher */
  async status({ internalUrl }) {
    const answer = await fetch(`${internalUrl}/status`, { signal: AbortSignal.timeout(30_000) });
    const status = LauncherStatus.parse(await answer.json());
    for (const { pid } of [...status.engines, ...status.dispatchers]) {
      const process = known(pid ?? 0);
      if (process !== undefined) this.#seen.set(process.pid, process);
    }
    return status;
  }

  /** Of all running launchers. @returns {Promise<EngineStatus[]>} */
  async engines() {
    const running = this.launchers.filter(({ ended }) => !ended());
    return (await Promise.all(running.map((launcher) => this.status(launcher)))).flatMap(({ engines }) => engines);
  }

  /** Switches faults of an engine on, or all off with `null`. @param {EngineStatus} engine @param {object | null} faults */
  async fault(engine, faults) {
    await setFaults(engine, faults);
  }

  /** A description of everything that is still held; empty if nothing is. @returns {Promise<string>} */
  async held() {
    for (const { internalUrl } of this.runningGateways()) {
      const { openRequests } = GatewayStatus.parse(await (await fetch(`${internalUrl}/status`)).json());
      if (openRequests > 0) return `${openRequests} open requests in a gateway`;
    }
    for (const engine of await this.engines()) {
      const { id, inFlight, state } = engine;
      if (inFlight.text + inFlight.image > 0) return `slots of ${id}: ${JSON.stringify(inFlight)}`;
      if (state !== 'ready') continue;
      const page = await (await askEngine(engine, '/metrics')).text();
      const lines = [...page.matchAll(/^vllm:num_requests_(?:running|waiting)\{.*\} (?!0(?:\.0)?$).*$/gm)];
      if (lines[0] !== undefined) return `${id}: ${lines[0][0]}`;
    }
    return '';
  }

  /** Waits until nothing is held. @param {number} limitMs @throws Error that lists what is held */
  async quiet(limitMs) {
    let held = '';
    const isSo = async () => {
      held = await this.held();
      return held === '';
    };
    await until('nothing is held', isSo, limitMs).catch((cause) => {
      throw new Error(`still held: ${held === '' ? String(cause) : held}`, { cause });
    });
  }

  /** A metric of all running gateways, summed over its samples, or over those with `label`. @param {string} name @param {string} [label] */
  async metric(name, label = '') {
    let sum = 0;
    for (const { internalUrl } of this.runningGateways()) {
      const page = await (await fetch(`${internalUrl}/metrics`)).text();
      const all = page.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
      const samples = all.filter((line) => line.includes(label));
      for (const sample of samples) sum += Number(sample.slice(sample.lastIndexOf(' ') + 1));
    }
    return sum;
  }

  /** Keys of both Redis. @returns {Promise<string[]>} */
  async keys() {
    return (await Promise.all(this.#servers.map(({ client }) => client.keys('*')))).flat();
  }

  /** Keys left by ended requests: bodies and reservations. */
  async keysLeft() {
    return (await this.keys()).filter((key) => key.includes(':body:') || key.includes(':reserv'));
  }

  /** A command `vllm` that runs `script` of the shell, for launchers with `WORKER_ENGINE=vllm`. @param {string} script @returns {Promise<string>} the PATH to give them */
  async commandVllm(script) {
    await writeFile(join(this.folder, 'vllm'), `#!/bin/sh\n${script}\n`);
    await chmod(join(this.folder, 'vllm'), 0o755);
    return `${this.folder}:${process.env['PATH'] ?? ''}`;
  }

  /** Stops everything. @returns {Promise<number>} processes of launchers that had to be killed */
  async stop() {
    // A frozen process must be resumed before it can exit.
    for (const process of this.#seen.values()) sendSignal(process, 'SIGCONT');
    await Promise.all([...this.launchers, ...this.gateways].map((program) => endProgram(program, END_WITHIN_MS)));
    const gone = () => ![...this.#seen.values()].some(lives);
    await until('the launchers took their processes along', gone, END_WITHIN_MS).catch(() => {});
    const left = [...this.#seen.values()].filter(lives);
    for (const process of left) sendSignal(process, 'SIGKILL');
    for (const server of this.#servers) await server.stop();
    await rm(this.folder, { recursive: true, force: true });
    return left.length;
  }
}
