// @ts-check
import { createInterface } from 'node:readline';

/**
 * One call for a driver: a line of JSON on standard input.
 * @typedef {object} Command
 * @property {number} id
 * @property {string} call kind of call: chat, stream, leave, completion, completionStream, models, model, info,
 *   response, responseStream; of kept responses: background, resume, cancel, delete, follow
 * @property {string} surface name of class and base URL
 * @property {string} url of the gateway
 * @property {string} key
 * @property {Record<string, unknown>} body fields of the request in the SDK's form
 * @property {Record<string, unknown>} [extras] fields outside the SDK's types
 * @property {Record<string, string>} [headers] of a stream
 * @property {number} [retries] instead of the SDK's own number
 */

/**
 * Answers each command with one line: the result of `perform`, or under `error` the description of what it threw.
 * @param {(command: Command) => Promise<object>} perform
 * @param {(error: unknown) => object} describe
 */
export function serve(perform, describe) {
  createInterface({ input: process.stdin }).on('line', async (line) => {
    /** @type {Command} */
    const command = JSON.parse(line);
    const answer = await perform(command).catch((error) => ({ error: describe(error) }));
    process.stdout.write(`${JSON.stringify({ id: command.id, ...answer })}\n`);
  });
}

/** An error's own plain members. @param {unknown} error @param {string[]} names @returns {Record<string, unknown>} */
export function membersOf(error, names) {
  const object = typeof error === 'object' && error !== null ? error : {};
  return Object.fromEntries(names.map((name) => [name, Reflect.get(object, name) ?? null]));
}
