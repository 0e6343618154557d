// @ts-check
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '#runtime/free-port';
import { startProgram, until } from './processes.mjs';

const ANSWERS_WITHIN_MS = 60_000;

/** A redis-server that can be killed and restarted on the same folder and port. */
export class RedisServer {
  /** @type {import('./processes.mjs').Program | undefined} */
  #program;
  /** @type {readonly string[]} */
  #args;
  /** @type {string | undefined} */
  #ownFolder;

  /** @param {number} port @param {readonly string[]} args @param {string | undefined} ownFolder */
  constructor(port, args, ownFolder) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#args = args;
    this.#ownFolder = ownFolder;
    /** for the drill's own commands; waits during outages */
    this.client = new Redis(this.url, {
      lazyConnect: true,
      maxRetriesPerRequest: null,
      retryStrategy: () => 20,
      connectionName: 'drill',
    });
    this.client.on('error', () => {});
  }

  /**
   * With the product's required settings: append-only file with a flush per second, no eviction.
   * @param {{ folder?: string, args?: readonly string[], appendonly?: boolean }} [options] `folder`: not to be removed at the
   * end; `appendonly: false`: without a file, like the Redis of bodies and replies
   */
  static async start({ folder, args = [], appendonly = true } = {}) {
    const port = await freePort();
    const own = folder === undefined ? await mkdtemp(join(tmpdir(), 'penstock-drill-redis-')) : undefined;
    const base = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder ?? own ?? '', '--save', ''];
    const file = appendonly ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : ['--appendonly', 'no'];
    const server = new RedisServer(port, [...base, ...file, '--maxmemory-policy', 'noeviction', ...args], own);
    await server.restart();
    return server;
  }

  /** Starts the server process; ready when it answers. */
  async restart() {
    this.#program = startProgram('redis-server', this.#args, { PATH: process.env['PATH'] }, { ipc: false });
    if (this.client.status === 'wait') void this.client.connect().catch(() => {});
    const answers = async () => this.client.status === 'ready' && (await this.client.ping()) === 'PONG';
    await until('Redis answers', answers, ANSWERS_WITHIN_MS);
  }

  /** pid of the server process, if it runs. */
  pids() {
    return this.#program === undefined ? [] : [this.#program.pid];
  }

  /** kill -9 */
  async kill() {
    this.#program?.signal('SIGKILL');
    await this.#program?.exited;
  }

  async stop() {
    this.client.disconnect();
    await this.kill();
    if (this.#ownFolder !== undefined) await rm(this.#ownFolder, { recursive: true, force: true });
  }
}
