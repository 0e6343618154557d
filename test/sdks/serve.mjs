// @ts-check
import { createInterface } from 'node:readline';

/**
 * One call that a driver is asked to make: a line of JSON on standard input.
 * @typedef {object} Command
 * @property {number} id
 * @property {string} call what to do: chat, stream, leave, completion, completionStream, models, model, info,
 *   response, responseStream
 * @property {string} surface which class and base URL
 * @property {string} url of the gateway
 * @property {string} key
 * @property {Record<string, unknown>} body fields of the request as the SDK takes them
 * @property {Record<string, unknown>} [extras] fields that the SDK does not know
 * @property {number} [retries] in place of the SDK's own number
 */

/**
 * Answers each command with one line: what `perform` gives, or under `error` what `describe` makes of what it threw.
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

/** An error's own members as far as they are plain. @param {unknown} error @param {string[]} names @returns {Record<string, unknown>} */
export function membersOf(error, names) {
  const object = typeof error === 'object' && error !== null ? error : {};
  return Object.fromEntries(names.map((name) => [name, Reflect.get(object, name) ?? null]));
}
