// @ts-check
import { ask } from '../up/readiness.mjs';
import { Refusal } from '../setup/refusal.mjs';

/** Timeout in milliseconds: a long list is thousands of reads. */
const ANSWER_WITHIN_MS = 30_000;

/**
 * Every gateway answers for all of them, so the first one that answers is enough.
 * @param {readonly string[]} gateways @param {string} path @param {string} method
 */
export async function firstAnswer(gateways, path, method) {
  for (const url of gateways) {
    const answer = await ask(url + path, ANSWER_WITHIN_MS, method);
    if (answer !== undefined) return answer;
  }
  throw new Refusal(`no gateway answers at ${gateways.join(', ')}: check that these are internal ports`);
}

/** Why a gateway refused. @param {unknown} body */
export function errorIn(body) {
  return typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : 'it gives no reason';
}
