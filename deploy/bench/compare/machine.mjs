// @ts-check
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, hostname, totalmem } from 'node:os';
import { join } from 'node:path';

const GIB = 1_073_741_824;
/** In a pack there is no repository, so this file has its commit. */
export const COMMIT_FILE = 'bench-commit';

/** @param {string} root @returns {string} short, with `+` if files of the checkout have changed since */
export function commitOf(root) {
  const packed = join(root, COMMIT_FILE);
  if (existsSync(packed)) return readFileSync(packed, 'utf8').trim();
  try {
    return execFileSync('git', ['describe', '--always', '--dirty=+', '--match', ''], {
      cwd: root,
      encoding: 'utf8',
    }).trim();
  } catch {
    return 'unknown';
  }
}

/**
 * @param {string} root
 * @param {number} cores that this process may use
 * @param {boolean} pinned
 * @returns {import('./merge.mjs').Machine}
 */
export function describeMachine(root, cores, pinned) {
  return {
    name: hostname(),
    cores,
    model: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / GIB),
    node: process.version,
    commit: commitOf(root),
    date: new Date().toISOString().slice(0, 10),
    pinned,
  };
}
