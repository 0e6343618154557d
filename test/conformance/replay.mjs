import { bodyFor } from './requests.mjs';

/** @typedef {import('./requests.mjs').Places & { readonly simulator: string }} Places */
/** @typedef {import('./compare.mjs').Answer} Answer */

const NO_ANSWER = { status: 0, contentType: '', headerNames: [], body: '' };
const WAIT_MS = 400;

/**
 * Sends the recorded request again, under the conditions of its recording.
 * @param {import('./capture.mjs').Capture} capture
 * @param {Places} places
 * @returns {Promise<Answer>}
 */
export async function replay(capture, places) {
  if (capture.name.startsWith('overload-') && capture.name !== 'overload-after') {
    return saturated(places, 3, () => send(capture, places));
  }
  if (capture.name === 'stream-keep-alive') {
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'Say hello.' }], stream: true });
    const asked = { ...capture, headers: { authorization: 'Bearer key-two' }, body };
    return saturated(places, 0, () => send(asked, places, AbortSignal.timeout(2 * WAIT_MS)));
  }
  if (capture.curlExit === 28) return send(capture, places, AbortSignal.timeout(WAIT_MS));
  return send(capture, places);
}

/**
 * @param {import('./capture.mjs').Capture} capture
 * @param {Places} places
 * @param {AbortSignal} [until] after this, the received part is the answer
 * @returns {Promise<Answer>}
 */
async function send(capture, places, until) {
  const hasBody = capture.method === 'POST' && !/^\/(sleep|wake_up|reset_)/.test(capture.path);
  const type = capture.name === 'bad-content-type' ? 'text/plain' : 'application/json';
  let res;
  try {
    res = await fetch(places.simulator + capture.path, {
      method: capture.method,
      headers: { ...capture.headers, ...(hasBody ? { 'content-type': type } : {}) },
      ...(hasBody ? { body: bodyFor(capture, places) } : {}),
      ...(until === undefined ? {} : { signal: until }),
    });
  } catch (error) {
    if (until?.aborted === true) return NO_ANSWER;
    throw error;
  }
  const decoder = new TextDecoder();
  let body = '';
  try {
    for await (const chunk of res.body ?? []) body += decoder.decode(chunk, { stream: true });
  } catch (error) {
    // curl's 18: the answer was broken off.
    if (until?.aborted !== true && capture.curlExit !== 18) throw error;
  }
  const headerNames = [...res.headers.keys()];
  return { status: res.status, contentType: res.headers.get('content-type') ?? '', headerNames, body };
}

/**
 * Runs something while the engine accepts no new work and `waiting` requests wait for it.
 * @param {Places} places
 * @param {number} waiting
 * @param {() => Promise<Answer>} run
 */
async function saturated(places, waiting, run) {
  await setFault(places, { saturate: true });
  const leave = new AbortController();
  const held = Array.from({ length: waiting }, async () => {
    const res = await fetch(`${places.simulator}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer key-two', 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Wait.' }], max_tokens: 2, stream: true }),
      signal: leave.signal,
    });
    return res.text().catch(() => '');
  });
  // Their heads arrive immediately, while they are queued.
  const queued = `vllm:num_requests_waiting{engine="0",model_name="Phi-3-vision-128k-instruct"} ${waiting}.0`;
  while (!(await (await fetch(`${places.simulator}/metrics`)).text()).includes(queued));
  const answer = await run();
  await setFault(places, { saturate: null });
  leave.abort();
  await Promise.allSettled(held);
  return answer;
}

/**
 * @param {Places} places
 * @param {Record<string, unknown>} fault
 */
async function setFault(places, fault) {
  await fetch(`${places.simulator}/sim/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fault),
  });
}
