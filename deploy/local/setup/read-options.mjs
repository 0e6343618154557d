// @ts-check
import { parseArgs } from 'node:util';
import { Refusal, reasonOf } from './refusal.mjs';

/** Kinds of options of the commands. */
export const TEXT = /** @type {const} */ ({ type: 'string' });
export const TEXTS = /** @type {const} */ ({ type: 'string', multiple: true });
export const FLAG = /** @type {const} */ ({ type: 'boolean' });
export const HELP_FLAG = /** @type {const} */ ({ type: 'boolean', short: 'h' });

/**
 * Reads the options and arguments of one command.
 * @template {NonNullable<import('node:util').ParseArgsConfig['options']>} T
 * @param {string} command such as `penstock keys`, for the hint to its help
 * @param {readonly string[]} args arguments after the command
 * @param {T} options
 * @param {number} mostWords maximum number of arguments that are not options
 * @throws Refusal for an unknown option, a missing or superfluous value, or too many arguments
 */
export function readOptions(command, args, options, mostWords = Infinity) {
  const { values, positionals } = parsed(command, args, options);
  if (positionals.length > mostWords)
    throw new Refusal(`unexpected argument '${positionals[mostWords]}'; see ${command} --help`);
  return { values, words: positionals };
}

/**
 * @template {NonNullable<import('node:util').ParseArgsConfig['options']>} T
 * @param {string} command @param {readonly string[]} args @param {T} options
 */
function parsed(command, args, options) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    // Node's sentences after the first one explain how to pass a word that begins with a dash.
    throw new Refusal(`${reasonOf(error).split(/\n|\. /)[0]}; see ${command} --help`);
  }
}
