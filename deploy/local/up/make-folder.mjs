// @ts-check
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

/**
 * Creates a private folder of this user, and its missing parents. It does not use `mkdirSync` with `recursive`, because
 * Node 20 then loops for ever if an existing folder refuses a new one with ENOENT, as /proc does.
 * @param {string} path absolute
 * @throws Refusal when it cannot be created, or when a file has its name
 */
export function makeFolder(path) {
  if (isFolder(path)) return;
  if (!existsSync(dirname(path))) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // another process may have created it at the same time
    if (isFolder(path)) return;
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    throw new Refusal(
      `the folder ${path} cannot be created (${code ?? reasonOf(error)}): choose another one with --data-dir`,
    );
  }
}

/** @param {string} path */
function isFolder(path) {
  return existsSync(path) && statSync(path).isDirectory();
}
