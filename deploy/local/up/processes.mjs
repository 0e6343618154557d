// @ts-check
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { signalQuietly } from './identity.mjs';
import { Refusal } from '../setup/refusal.mjs';

/** A process that keeps exiting is restarted after 0.5, 1, 2 … 10 s; after this lifetime the wait begins at 0.5 s again. */
const BACKOFF_MS = { first: 500, most: 10_000, stableAfter: 60_000 };

/**
 * @typedef {object} Spec
 * @property {string} name for people and for pids.json
 * @property {string} command
 * @property {readonly string[]} args
 * @property {NodeJS.ProcessEnv} env
 * @property {string} logFile both output streams are appended to it, so that the logs outlive this process
 * @property {boolean} ipc with a channel; its end tells the process that its parent has exited
 * @property {string} [input] written to its standard input, which is then closed
 * @property {string} [cwd]
 *
 * @typedef {object} Kept
 * @property {string} name
 * @property {Promise<never>} failed rejects with a Refusal if it exits before `settled` was called
 * @property {() => void} settled call it when the process works: from then on it is restarted after an exit
 * @property {(limitMs: number) => Promise<void>} stop SIGTERM, after `limitMs` SIGKILL to its process group; resolves after its exit
 * @property {() => void} kill immediately
 */

/**
 * Keeps one process running until it is stopped.
 * @param {Spec} spec
 * @param {{ say: (line: string) => void, pidChanged: (pid: number | undefined) => void }} deps
 * @returns {Kept}
 */
export function keepRunning(spec, { say, pidChanged }) {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  /** @type {NodeJS.Timeout | undefined} */
  let restartTimer;
  let settled = false;
  let stopping = false;
  let restarts = 0;
  /** @type {(reason: Refusal) => void} */
  let fail = () => {};
  /** @type {Promise<never>} */
  const failed = new Promise((_resolve, reject) => (fail = reject));
  // only the wait for readiness handles it; later it must not be an unhandled rejection
  failed.catch(() => {});

  const start = () => {
    const log = openSync(spec.logFile, 'a', 0o600);
    const offset = fstatSync(log).size;
    const startedAt = performance.now();
    // detached: Ctrl-C would reach the terminal's entire process group, but `up` decides the order of stops
    child = spawn(spec.command, spec.args, {
      env: spec.env,
      detached: true,
      stdio: [
        spec.input === undefined ? 'ignore' : 'pipe',
        log,
        log,
        ...(spec.ipc ? [/** @type {const} */ ('ipc')] : []),
      ],
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
    });
    closeSync(log);
    child.stdin?.on('error', () => {});
    child.stdin?.end(spec.input);
    pidChanged(child.pid);
    /** @param {string} how */
    const ended = (how) => {
      child = undefined;
      pidChanged(undefined);
      if (stopping) return;
      if (!settled) {
        const words = lastWords(spec.logFile, offset);
        fail(
          new Refusal(`${spec.name} did not start (${how})${words === '' ? `; see ${spec.logFile}` : `: ${words}`}`),
        );
        return;
      }
      if (performance.now() - startedAt > BACKOFF_MS.stableAfter) restarts = 0;
      const waitMs = Math.min(BACKOFF_MS.first * 2 ** restarts, BACKOFF_MS.most);
      restarts += 1;
      say(`${spec.name} exited unexpectedly (${how}); it restarts in ${waitMs / 1_000} s, see ${spec.logFile}`);
      restartTimer = setTimeout(start, waitMs);
    };
    child.once('error', (error) => {
      if (child?.pid === undefined) ended(error.message);
    });
    child.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
  };
  start();

  const kill = () => {
    stopping = true;
    clearTimeout(restartTimer);
    if (child?.pid !== undefined) signalQuietly(-child.pid, 'SIGKILL');
  };
  return {
    name: spec.name,
    failed,
    settled: () => void (settled = true),
    kill,
    stop: async (limitMs) => {
      stopping = true;
      clearTimeout(restartTimer);
      const ending = child;
      if (ending?.pid === undefined) return;
      const exited = new Promise((resolve) => ending.once('exit', resolve));
      ending.kill('SIGTERM');
      const killTimer = setTimeout(kill, limitMs);
      await exited;
      clearTimeout(killTimer);
    },
  };
}

/**
 * The last message of a program on its error stream: the last lines since `offset` that are not log lines. For an uncaught
 * error, only the error's message, without the stack below it and the code above it.
 * @param {string} logFile @param {number} offset bytes
 */
function lastWords(logFile, offset) {
  const lines = readFileSync(logFile).subarray(offset).toString().trimEnd().split('\n');
  const words = lines.filter((line) => line.trim() !== '' && !line.startsWith('{'));
  const frame = words.findIndex((line) => /^ +at /.test(line));
  const above = frame === -1 ? words : words.slice(0, frame);
  const from = frame === -1 ? 0 : above.findLastIndex((line) => /^(Uncaught )?[\w.]*(Error|Exception)\b/.test(line));
  return above
    .slice(Math.max(from, 0))
    .filter((line) => !/^Node\.js v\d/.test(line))
    .slice(-6)
    .join('\n');
}
