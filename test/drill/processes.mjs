// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUTPUT_LIMIT = 4_000_000;
const PAUSE_MS = 20;

/**
 * One started program.
 * @typedef {object} Program
 * @property {number} pid
 * @property {() => boolean} ended
 * @property {Promise<void>} exited
 * @property {() => string} output its last bytes on both streams
 * @property {(signal: NodeJS.Signals) => void} signal has no effect after its end
 */

/**
 * Starts a program that ends with us: with an IPC channel it exits when this process exits, however that happens.
 * @param {string} file @param {readonly string[]} args @param {NodeJS.ProcessEnv} env
 * @param {{ ipc?: boolean }} [options] `ipc: false` for programs that do not know the channel
 * @returns {Program}
 */
export function startProgram(file, args, env, { ipc = true } = {}) {
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = ipc ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'];
  const child = spawn(file, args, { cwd: ROOT, env, stdio });
  /** @type {Buffer[]} */
  const kept = [];
  let bytes = 0;
  /** @param {Buffer} chunk */
  const keep = (chunk) => {
    kept.push(chunk);
    bytes += chunk.length;
    while (bytes > OUTPUT_LIMIT) bytes -= kept.shift()?.length ?? bytes;
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  const exited = once(child, 'exit').then(() => {});
  return {
    pid: child.pid ?? 0,
    ended,
    exited,
    output: () => Buffer.concat(kept).toString(),
    signal: (signal) => {
      if (!ended()) child.kill(signal);
    },
  };
}

/** Sends SIGTERM, and SIGKILL after `withinMs`. @param {Program} program @param {number} withinMs */
export async function endProgram(program, withinMs) {
  program.signal('SIGTERM');
  const patience = setTimeout(() => program.signal('SIGKILL'), withinMs);
  await program.exited;
  clearTimeout(patience);
}

/** A process, also one that is not our child, distinguished from a later one with the same pid. @typedef {{ pid: number, born: string }} Known */

/** @param {number} pid @returns {Known | undefined} */
export function known(pid) {
  const born = birthOf(pid);
  return born === undefined ? undefined : { pid, born };
}

/** @param {Known} process */
export function lives({ pid, born }) {
  return birthOf(pid) === born;
}

/** Sends a signal to a process, or with `group` to the group that it leads; an ended one is no error. @param {Known} target @param {NodeJS.Signals} signal @param {{ group?: boolean }} [options] */
export function sendSignal(target, signal, { group = false } = {}) {
  if (!lives(target)) return;
  try {
    process.kill(group ? -target.pid : target.pid, signal);
  } catch {
    // it has just ended
  }
}

/** Start time in the kernel's ticks; undefined for an ended process or a zombie. @param {number} pid */
function birthOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/**
 * Polls until `probe` returns a truthy value.
 * @template T
 * @param {string} what @param {() => T | Promise<T>} probe @param {number} limitMs
 * @returns {Promise<T>}
 * @throws Error with the last value after the limit
 */
export async function until(what, probe, limitMs) {
  const end = performance.now() + limitMs;
  /** @type {unknown} */
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}; last: ${String(last)}`);
    await pause(PAUSE_MS);
  }
}

const SAMPLE_MS = 10;
const delays = monitorEventLoopDelay({ resolution: SAMPLE_MS });
delays.enable();
/** Number of processes that must run between a fault and its effect on a client. */
const TURNS = 6;

/**
 * Tolerance for a limit of the product on a slow machine: the lateness of a timer of this process, for
 * each process in between. A few milliseconds on an idle machine.
 * @param {number} share 0 to 1: quantile of the timers' lateness
 */
export function latenessMs(share) {
  const lateMs = (share === 1 ? delays.max : delays.percentile(share * 100)) / 1e6 - SAMPLE_MS;
  return TURNS * Math.max(0, lateMs);
}

/** Waits for the duration of a fault, which is part of the fault. @param {number} ms @returns {Promise<void>} */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
