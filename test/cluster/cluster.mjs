// @ts-check
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, until } from '../drill/processes.mjs';

const HERE = join(ROOT, 'test/cluster');
export const CHART = join(ROOT, 'charts/penstock');

/** @typedef {{ code: number, stdout: string, stderr: string }} Result */

/** One cluster on this machine's loopback, and the commands to use it. */
export class Cluster {
  /** @param {string} tools folder of tools.sh @param {string} state of this cluster @param {number} port its API's, and the next five */
  constructor(tools, state, port) {
    this.tools = tools;
    this.state = state;
    this.port = port;
  }

  /** @param {Record<string, string>} [options] see control-plane.sh */
  async up(options = {}) {
    const env = { ...process.env, PORT_BASE: String(this.port), ...options };
    await insist(run('bash', [join(HERE, 'control-plane.sh'), this.tools, this.state], { env, limitMs: 400_000 }));
  }

  async down() {
    await run('bash', [join(HERE, 'down.sh'), this.tools, this.state], { limitMs: 120_000 });
  }

  /** @param {string} image */
  async load(image) {
    await insist(this.realNode('load', image));
  }

  /** @param {...string} args of real-node.sh */
  realNode(...args) {
    const env = { ...process.env, PORT_BASE: String(this.port) };
    return run('bash', [join(HERE, 'real-node.sh'), this.tools, this.state, ...args], { env, limitMs: 300_000 });
  }

  /** @param {readonly string[]} args @param {{ input?: string, limitMs?: number }} [options] */
  tryKubectl(args, options = {}) {
    return run(join(this.tools, 'bin/kubectl'), args, { ...options, env: this.env() });
  }

  /** @param {readonly string[]} args @param {{ input?: string, limitMs?: number }} [options] @returns {Promise<string>} its output */
  async kubectl(args, options = {}) {
    return (await insist(this.tryKubectl(args, options))).stdout;
  }

  /** @param {readonly string[]} args @returns {Promise<any>} */
  async get(...args) {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json']));
  }

  /** @param {3 | 4} version @param {readonly string[]} args @param {{ limitMs?: number }} [options] */
  tryHelm(version, args, options = {}) {
    return run(join(this.tools, `bin/helm${version}`), args, { limitMs: 300_000, ...options, env: this.env() });
  }

  /** @param {3 | 4} version @param {readonly string[]} args @param {{ limitMs?: number }} [options] @returns {Promise<string>} its output */
  async helm(version, args, options = {}) {
    return (await insist(this.tryHelm(version, args, options))).stdout;
  }

  /** Whether this tool exists. @param {string} name */
  has(name) {
    return existsSync(join(this.tools, 'bin', name));
  }

  /** @param {string} name @param {Record<string, string>} [labels] */
  async namespace(name, labels = {}) {
    await this.kubectl(['create', 'namespace', name]);
    const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    if (pairs.length > 0) await this.kubectl(['label', 'namespace', name, ...pairs]);
    return name;
  }

  /** Simulated pods stay for their entire grace period unless they are removed. @param {string} name */
  async removeNamespace(name) {
    const rest = ['-n', name, '--ignore-not-found'];
    for (const kind of ['deployments,statefulsets,jobs', 'pods'])
      await this.tryKubectl(['delete', kind, '--all', '--force', '--grace-period=0', '--wait=false', ...rest]);
    await this.tryKubectl(['delete', 'namespace', name, '--wait=false']);
  }

  /** Writes values to a file. @param {string} name @param {object} values @returns {Promise<string>} its path */
  async values(name, values) {
    await mkdir(join(this.state, 'values'), { recursive: true });
    const file = join(this.state, 'values', `${name}.json`);
    await writeFile(file, JSON.stringify(values, null, 2));
    return file;
  }

  /** Pods of a namespace, by selector. @param {string} namespace @param {string} [selector] @returns {Promise<any[]>} */
  async pods(namespace, selector = 'app.kubernetes.io/name') {
    return (await this.get('pods', '-n', namespace, '-l', selector)).items;
  }

  /** @param {string} namespace @param {string} selector @param {number} count @param {number} limitMs */
  async ready(namespace, selector, count, limitMs) {
    const isSo = async () => (await this.pods(namespace, selector)).filter(isReady).length === count;
    await until(`${count} pods of ${selector} are ready`, isSo, limitMs);
  }

  /** Settings of kubectl and helm for this cluster. */
  env() {
    return {
      PATH: `${join(this.tools, 'bin')}:${process.env['PATH']}`,
      HOME: this.state,
      KUBECONFIG: join(this.state, 'kubeconfig'),
    };
  }
}

/** Ready, and not terminating. @param {any} pod */
export function isReady({ metadata, status }) {
  if (metadata.deletionTimestamp !== undefined) return false;
  return (status.conditions ?? []).some(
    (/** @type {{ type: string, status: string }} */ { type, status: is }) => type === 'Ready' && is === 'True',
  );
}

/**
 * @param {string} file @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, input?: string, limitMs?: number, cwd?: string }} [options]
 * @returns {Promise<Result>}
 */
export function run(file, args, { input, limitMs = 120_000, ...options } = {}) {
  return new Promise((resolve) => {
    const settings = { maxBuffer: 64 * 1024 * 1024, timeout: limitMs, ...options };
    const child = execFile(file, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      const words = error?.killed === true ? `\nnot over after ${limitMs} ms` : '';
      resolve({ code, stdout, stderr: `${stderr}${words}` });
    });
    // If a program exits without reading its input, its exit code decides.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

/** @param {Promise<Result>} running @throws Error with its last lines if it failed */
export async function insist(running) {
  const result = await running;
  if (result.code !== 0)
    throw new Error(
      `exit code ${result.code}: ${result.stderr.trim().slice(-1_500)}\n${result.stdout.trim().slice(-500)}`,
    );
  return result;
}

/** @param {boolean} holds @param {string} sentence */
export function check(holds, sentence) {
  if (!holds) throw new Error(sentence);
}
