// @ts-check
import { fork, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { family } from './cpu.mjs';

/** After SIGTERM a process gets this long, then SIGKILL. */
const STOP_MS = 8_000;
const LAST_CHARACTERS = 600;

/**
 * @typedef {object} Start
 * @property {string} name also of its log file
 * @property {string} file
 * @property {readonly string[]} args
 * @property {Record<string, string>} [env]
 * @property {string} [cwd]
 * @property {readonly number[] | null} [cores] null: not pinned
 * @property {boolean} [ipc] with a channel, whose end tells the process that its parent has exited
 */

/** Processes of one run. All of them end with `end`, by their ids, and so do their children. */
export class Processes {
  /** @type {import('node:child_process').ChildProcess[]} */
  #children = [];
  #logs;

  /** @param {string} logs folder of the log files */
  constructor(logs) {
    this.#logs = logs;
  }

  /** @param {Start} start @returns {number} its process id */
  start({ name, file, args, env = {}, cwd, cores = null, ipc = false }) {
    const log = openSync(join(this.#logs, `${name}.log`), 'a', 0o600);
    const [command, ...rest] = cores === null ? [file, ...args] : ['taskset', '-c', cores.join(','), file, ...args];
    const child = spawn(command ?? file, rest, {
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log, ...(ipc ? [/** @type {const} */ ('ipc')] : [])],
      ...(cwd === undefined ? {} : { cwd }),
    });
    closeSync(log);
    child.on('error', () => {});
    this.#children.push(child);
    if (child.pid === undefined) throw new Error(`${name} cannot start: there is no program ${command}`);
    return child.pid;
  }

  /** A Node program with a channel to this one. @param {string} file @param {readonly number[] | null} cores */
  fork(file, cores) {
    const child = fork(file, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' });
    this.#children.push(child);
    if (child.pid === undefined) throw new Error(`${file} cannot start`);
    pin(child.pid, cores);
    return { child, pid: child.pid };
  }

  /** @param {string} name @returns the end of its log, for a message */
  lastWords(name) {
    return readFileSync(join(this.#logs, `${name}.log`), 'utf8')
      .trim()
      .slice(-LAST_CHARACTERS);
  }

  /** Whether the process with this id has exited. @param {number} pid */
  hasExited(pid) {
    const child = this.#children.find((one) => one.pid === pid);
    return child === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  /** Stops all processes, the last one first. */
  async end() {
    for (const child of this.#children.splice(0).reverse()) {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const below = family(child.pid).slice(1);
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const late = await Promise.race([exited, pause(STOP_MS, 'late', { ref: false })]);
      if (late === 'late') {
        child.kill('SIGKILL');
        await exited;
      }
      for (const pid of below) kill(pid);
    }
  }

  /** Kills all processes immediately: for an exit of this program that cannot wait. */
  kill() {
    for (const { pid } of this.#children) if (pid !== undefined) family(pid).forEach(kill);
  }
}

/** Moves all threads of a running process to some cores. @param {number} pid @param {readonly number[] | null} cores null: not pinned */
export function pin(pid, cores) {
  if (cores !== null) spawnSync('taskset', ['-a', '-p', '-c', cores.join(','), String(pid)], { stdio: 'ignore' });
}

/** @param {number} pid */
function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has exited.
  }
}
