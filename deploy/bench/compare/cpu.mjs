// @ts-check
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Ticks of /proc/PID/stat (source: Linux, USER_HZ is 100 on all its 64-bit platforms). */
const TICKS_PER_SECOND = 100;
const MIB = 1_048_576;
/** Some kernels do not have these lists. */
const HAS_CHILDREN = existsSync(`/proc/self/task/${process.pid}/children`);
/** Source: Linux on x86-64; an ARM kernel may have larger pages, so that memory appears smaller there. */
const PAGE_BYTES = 4_096;

/** @param {string} file */
const read = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

/** Fields of /proc/PID/stat after the command's name, which may contain blanks. @param {number} pid */
const statOf = (pid) =>
  read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');

/** @param {string} folder @returns {string[]} */
const list = (folder) => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

/** @param {number} pid @returns {number[]} */
function childrenOf(pid) {
  if (HAS_CHILDREN)
    return list(`/proc/${pid}/task`).flatMap((thread) =>
      (read(`/proc/${pid}/task/${thread}/children`).match(/\d+/g) ?? []).map(Number),
    );
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((one) => Number(statOf(one)[1]) === pid);
}

/** @param {number} pid @returns {number[]} it and every process below it */
export function family(pid) {
  return existsSync(`/proc/${pid}`) ? [pid, ...childrenOf(pid).flatMap(family)] : [];
}

/**
 * CPU seconds, user and system.
 * @typedef {{ pid: number, tree: boolean }} Watched with `tree`, its children count too, also those that have exited
 * @param {Watched} watched
 */
export function cpuSeconds({ pid, tree }) {
  const fields = (tree ? family(pid) : [pid]).map(statOf);
  const ticks = fields.map((one) => Number(one[11] ?? 0) + Number(one[12] ?? 0));
  const exited = tree ? fields.map((one) => Number(one[13] ?? 0) + Number(one[14] ?? 0)) : [];
  return [...ticks, ...exited].reduce((sum, one) => sum + (Number.isFinite(one) ? one : 0), 0) / TICKS_PER_SECOND;
}

/** Resident memory in MiB. @param {Watched} watched */
export function residentMiB({ pid, tree }) {
  const pages = (tree ? family(pid) : [pid]).map((one) => Number(read(`/proc/${one}/statm`).split(' ')[1] ?? 0));
  return (pages.reduce((sum, one) => sum + one, 0) * PAGE_BYTES) / MIB;
}

/** Cores that this process may use. */
export function allowedCores() {
  const ranges = /Cpus_allowed_list:\s*(\S+)/.exec(read('/proc/self/status'))?.[1] ?? `0-${availableParallelism() - 1}`;
  return ranges.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
