// @ts-check
import { setTimeout as after } from 'node:timers/promises';
import { Refusal } from '../setup/refusal.mjs';

const ASK_EVERY_MS = 100;
const ANSWER_WITHIN_MS = 2_000;

/**
 * @param {string} url of a probe
 * @param {AbortSignal} signal
 * @throws the reason of `signal`
 */
export async function answersOk(url, signal) {
  for (;;) {
    const answer = await ask(url);
    if (answer?.ok === true) return;
    await pause(signal);
  }
}

/**
 * Prints one line for each change of a worker-launcher's engines.
 * @param {string} name of the worker-launcher
 * @param {string} statusUrl
 * @param {(line: string) => void} say
 * @param {AbortSignal} signal ends it
 * @returns {Promise<never>}
 * @throws Refusal when every engine has been given up; else the reason of `signal`
 */
export async function followEngines(name, statusUrl, say, signal) {
  /** @type {Map<string, string>} */
  const told = new Map();
  for (;;) {
    const engines = enginesIn(await ask(statusUrl));
    for (const { id, state, pid, stage, lastFailure } of engines) {
      const details = [
        pid === null ? [] : [`pid ${pid}`],
        typeof stage === 'string' ? [stage] : [],
        lastFailure === null ? [] : [`last failure: ${lastFailure}`],
      ].flat();
      const line = `${name}, ${id}: ${state}${details.length === 0 ? '' : ` (${details.join('; ')})`}`;
      if (told.get(id) !== line) say(line);
      told.set(id, line);
    }
    if (engines.length > 0 && engines.every(({ state }) => state === 'stopped')) {
      throw new Refusal(`no engine of ${name} started: ${engines[0]?.lastFailure ?? 'see its log'}`);
    }
    await pause(signal);
  }
}

/**
 * @param {string} statusUrl of a worker-launcher, because a gateway may require a key
 * @returns {Promise<string | undefined>} its served model name
 */
export async function servedModel(statusUrl) {
  const status = /** @type {{ model?: unknown } | undefined} */ ((await ask(statusUrl))?.body);
  return typeof status?.model === 'string' ? status.model : undefined;
}

/**
 * @typedef {{ id: string, state: string, pid: number | null, stage?: string | null, lastFailure: string | null }} EngineLine the
 *   printed fields of an engine in a worker-launcher's `/status`
 * @param {{ body: unknown } | undefined} answer
 * @returns {EngineLine[]}
 */
function enginesIn(answer) {
  const status = /** @type {{ engines?: EngineLine[] } | undefined} */ (answer?.body);
  return Array.isArray(status?.engines) ? status.engines : [];
}

/**
 * @param {string} url
 * @param {number} [withinMs]
 * @param {RequestInit} [request] method and headers
 * @returns {Promise<{ ok: boolean, status: number, body: unknown } | undefined>} undefined: no answer; a body that is not JSON is a string
 */
export async function ask(url, withinMs = ANSWER_WITHIN_MS, request = {}) {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(withinMs) });
    const json = response.headers.get('content-type')?.includes('json') === true;
    return { ok: response.ok, status: response.status, body: json ? await response.json() : await response.text() };
  } catch {
    return undefined;
  }
}

/** @param {AbortSignal} signal */
async function pause(signal) {
  signal.throwIfAborted();
  await after(ASK_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
}
