// @ts-check
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

/**
 * Makes a folder for this user alone, and the folders above it that are missing. It is not left to `mkdirSync` with
 * `recursive`: Node 20's tries for ever where a folder is there and refuses a new one with ENOENT, as /proc does.
 * @param {string} path absolute
 * @throws Refusal when it cannot be made, or when something else has its name
 */
export function makeFolder(path) {
  if (isFolder(path)) return;
  if (!existsSync(dirname(path))) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // another process may have made it just now
    if (isFolder(path)) return;
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    throw new Refusal(`the folder ${path} cannot be made (${code ?? reasonOf(error)}); see --data-dir`);
  }
}

/** @param {string} path */
function isFolder(path) {
  return existsSync(path) && statSync(path).isDirectory();
}
