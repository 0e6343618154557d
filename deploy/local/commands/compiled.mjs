// @ts-check
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare } from '../setup/prepare.mjs';

/**
 * @typedef {object} CommandSetup
 * @property {string} root folder of package.json
 * @property {string} cwd what relative files are relative to
 * @property {NodeJS.ProcessEnv} env
 * @property {(line: string) => number} print the result, on standard output
 * @property {(line: string) => number} say what is told about it, on standard error
 */

/**
 * A module of the programs, for the commands that use the same code as they do; compiled first where that is needed.
 * @param {string} file below `dist`
 * @param {CommandSetup} setup
 * @returns {Promise<unknown>} the module
 * @throws Refusal when it cannot be compiled
 */
export async function compiled(file, { root, env, say }) {
  await prepare(root, { env, say });
  return import(pathToFileURL(join(root, 'dist', file)).href);
}
