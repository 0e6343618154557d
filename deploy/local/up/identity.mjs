// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/**
 * @typedef {object} ProcessFacts
 * @property {number} parent
 * @property {string} born its start time, as the system prints it; together with the pid it identifies the process
 */

const HAS_PROC = existsSync('/proc/self/stat');

/**
 * @param {number} pid
 * @returns {ProcessFacts | undefined} undefined if no such process runs; a zombie does not count
 */
export function factsOf(pid) {
  return HAS_PROC ? factsFromProc(pid) : factsFromPs(pid);
}

/** @param {number} pid @returns {string} command line, empty when it cannot be read */
export function commandLineOf(pid) {
  if (!HAS_PROC) return ps(pid, 'args=');
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** @param {{ pid: number, born: string }} noted */
export function stillRuns({ pid, born }) {
  return factsOf(pid)?.born === born;
}

/** On Linux another process is read from a file; on other systems it takes a child process. */
export const LOOKING_IS_CHEAP = HAS_PROC;

/**
 * @param {number} pid negative: the process group
 * @param {NodeJS.Signals} signal
 */
export function signalQuietly(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // it has already ended
  }
}

/** @param {number} pid */
function factsFromProc(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): the name in parentheses may contain blanks and parentheses; then follow state, ppid … starttime (22nd field)
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, parent, start] = [fields[0], fields[1], fields[19]];
    if (state === 'Z' || state === 'X' || start === undefined) return undefined;
    // starttime counts from boot, so the boot id belongs to it
    return { parent: Number(parent), born: `${bootId()}/${start}` };
  } catch {
    return undefined;
  }
}

function bootId() {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** @param {number} pid */
function factsFromPs(pid) {
  const found = /^\s*(\d+)\s+(\S+)\s+(.+)$/.exec(ps(pid, 'ppid=,stat=,lstart='));
  if (found === null || found[2]?.startsWith('Z') === true) return undefined;
  return { parent: Number(found[1]), born: String(found[3]).trim() };
}

/** @param {number} pid @param {string} columns */
function ps(pid, columns) {
  return spawnSync('ps', ['-o', columns, '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? '';
}
