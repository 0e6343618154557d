// @ts-check
import { userInfo } from 'node:os';
import { ask } from '../up/readiness.mjs';
import { Refusal } from '../setup/refusal.mjs';

/** Exit code: there is no such thing. */
const ABSENT = 1;
/** Exit code: no gateway does it, or a wrong option. */
export const NOT_DONE = 2;
/** Timeout in milliseconds: a long list is thousands of reads. */
const ANSWER_WITHIN_MS = 30_000;

/**
 * Every gateway answers for all of them, so the first one that answers is enough.
 * @param {readonly string[]} gateways @param {string} path @param {string} method
 */
export async function firstAnswer(gateways, path, method) {
  // for the audit of what changes something
  const headers = { 'x-penstock-operator': nameOfUser() };
  for (const url of gateways) {
    const answer = await ask(url + path, ANSWER_WITHIN_MS, { method, headers });
    if (answer !== undefined) return answer;
  }
  throw new Refusal(`no gateway answers at ${gateways.join(', ')}: check that these are internal ports`);
}

/** The operating system's user, in characters that a header takes. */
function nameOfUser() {
  try {
    return encodeURIComponent(userInfo().username);
  } catch {
    // a container's user often has no name
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** Why a gateway refused. @param {unknown} body */
export function errorIn(body) {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  const reason = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return typeof reason === 'string' ? reason : 'it gives no reason';
}

/**
 * The exit code after a gateway refused what was asked of one thing. Says why.
 * @param {{ readonly status: number, readonly body: unknown }} answer
 * @param {(line: string) => void} say
 */
export function refusedWith({ status, body }, say) {
  say(`penstock: ${errorIn(body)}`);
  return status === 404 ? ABSENT : NOT_DONE;
}
