// @ts-check
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { signalQuietly } from './identity.mjs';
import { Refusal } from '../setup/refusal.mjs';

/** A process that ends again and again is started anew after 0.5, 1, 2 … 10 s; one that ran this long starts over. */
const BACKOFF_MS = { first: 500, most: 10_000, stableAfter: 60_000 };

/**
 * @typedef {object} Spec
 * @property {string} name for people and for pids.json
 * @property {string} command
 * @property {readonly string[]} args
 * @property {NodeJS.ProcessEnv} env
 * @property {string} logFile both output streams are appended to it, so that they survive this process
 * @property {boolean} ipc with a channel, by whose end the process sees that its parent is gone
 * @property {string} [input] written to its standard input, which is then closed
 * @property {string} [cwd]
 *
 * @typedef {object} Kept
 * @property {string} name
 * @property {Promise<never>} failed rejects with a Refusal when it ends before `settled` was called
 * @property {() => void} settled it has shown that it works: from here on it is started anew when it ends
 * @property {(limitMs: number) => Promise<void>} stop SIGTERM, after `limitMs` SIGKILL to its process group; resolves when it is gone
 * @property {() => void} kill at once
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
  // whoever waits for readiness listens; later nobody has to
  failed.catch(() => {});

  const start = () => {
    const log = openSync(spec.logFile, 'a', 0o600);
    const offset = fstatSync(log).size;
    const startedAt = performance.now();
    // detached: Ctrl-C reaches the whole process group of the terminal, and the order of ending is ours
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
      say(`${spec.name} ended unasked (${how}); a new one starts in ${waitMs / 1_000} s, see ${spec.logFile}`);
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
 * What a program said on its error stream just before it ended: of what it wrote since `offset`, the last lines that are
 * no log lines. Of an error that nobody caught it is the error's own words, without the stack below and the code above.
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
