// @ts-check
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Time from SIGTERM until a command is killed. */
const STOP_MS = 3_000;

/**
 * Runs a command to its end and collects its output. A non-zero exit code does not reject.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, signal?: AbortSignal | undefined }} [settings] `signal` stops the command
 * @returns {Promise<{ code: number, output: string }>} `code` -1: ended by a signal or never started; `output`: both streams
 * @throws the reason of `signal`, after the command has ended
 */
export function runToEnd(command, args, settings = {}) {
  const { signal, ...where } = settings;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(command, args, { ...where, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    /** @type {NodeJS.Timeout | undefined} */
    let killTimer;
    const stop = () => {
      child.kill('SIGTERM');
      killTimer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    };
    /** @param {number} code */
    const end = (code) => {
      clearTimeout(killTimer);
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted === true) reject(signal.reason);
      else resolve({ code, output });
    };
    signal?.addEventListener('abort', stop, { once: true });
    child.stdout.on('data', (bytes) => (output += String(bytes)));
    child.stderr.on('data', (bytes) => (output += String(bytes)));
    child.once('error', (error) => {
      output += error.message;
      end(-1);
    });
    child.once('close', (code) => end(code ?? -1));
  });
}

/**
 * @param {string} name of a program
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined} its path on PATH
 */
export function onPath(name, env) {
  return (env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isProgram);
}

/** @param {string} output @param {number} lines */
export function lastLines(output, lines) {
  return output.trimEnd().split('\n').slice(-lines).join('\n');
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
