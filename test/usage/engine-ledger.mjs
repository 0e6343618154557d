// @ts-check
import { readFileSync } from 'node:fs';

/**
 * What the simulators really did, from the file of `--sim-ledger`.
 * @typedef {object} Made
 * @property {string} id as the engine names the request
 * @property {string | undefined} request id of the request, without its attempt; undefined if the engine chose the id
 * @property {string | undefined} attempt
 * @property {number} prompt tokens
 * @property {number} pictures tokens of the prompt that are pictures
 * @property {number} made tokens of the answer
 * @property {boolean} isWhole the answer came to its end
 * @property {number} ms how long the engine had it
 */

/** Names of requests that the gateway sent; the launcher's own questions have others. */
const SENT = /^(?:chatcmpl|cmpl)-(g.*-\d+)-(\d+-\d+)$/;
const RESPONSE = /^resp/;

/**
 * @param {string} file
 * @param {(at: number) => number} diedAt when the engine died that a request without an end ran on, if it arrived then
 * @returns {Made[]}
 */
export function madeIn(file, diedAt) {
  /** @type {Map<string, { lines: any[] }>} */
  const requests = new Map();
  // The last line of a killed process may be incomplete.
  for (const text of readFileSync(file, 'utf8').split('\n')) {
    const line = parsed(text);
    if (line === undefined) continue;
    const request = requests.get(line.id) ?? { lines: [] };
    request.lines.push(line);
    requests.set(line.id, request);
  }
  return [...requests].flatMap(([id, { lines }]) => {
    const [, request, attempt] = SENT.exec(id) ?? [];
    if (request === undefined && !RESPONSE.test(id)) return [];
    const { prompt = 0, pictures = 0, at = 0 } = lines.find((line) => 'prompt' in line) ?? {};
    const ended = lines.find((line) => 'end' in line);
    /** @type {Map<number, number>} */
    const choices = new Map();
    for (const { choice, made } of lines) if (made !== undefined) choices.set(choice, made);
    return {
      id,
      request,
      attempt,
      prompt,
      pictures,
      made: [...choices.values()].reduce((sum, made) => sum + made, 0),
      isWhole: ended?.end === 'stop' || ended?.end === 'length',
      ms: (ended?.at ?? diedAt(at)) - at,
    };
  });
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
