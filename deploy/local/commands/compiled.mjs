// @ts-check
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare } from '../setup/prepare.mjs';

/**
 * @typedef {object} CommandSetup
 * @property {string} root folder of package.json
 * @property {string} cwd base of relative paths
 * @property {NodeJS.ProcessEnv} env
 * @property {(line: string) => number} print the result, on standard output
 * @property {(line: string) => number} say notes on it, on standard error
 */

/**
 * Imports a compiled module of the programs, for commands that share their code; compiles it first if needed.
 * @param {string} file below `dist`
 * @param {CommandSetup} setup
 * @returns {Promise<unknown>} the module
 * @throws Refusal when it cannot be compiled
 */
export async function compiled(file, { root, env, say }) {
  await prepare(root, { env, say });
  return import(pathToFileURL(join(root, 'dist', file)).href);
}
