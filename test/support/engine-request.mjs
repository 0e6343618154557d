// @ts-check
import { Agent, fetch } from 'undici';

/**
 * Calls an engine directly, like its dispatcher: over its unix socket, or on its port if it has no socket.
 * @param {{ readonly socket?: string | null | undefined, readonly port?: number | null | undefined }} engine
 * @param {string} path
 * @param {import('undici').RequestInit} [init]
 */
export function askEngine({ socket, port }, path, init = {}) {
  if (socket === undefined || socket === null) return fetch(`http://127.0.0.1:${port}${path}`, init);
  // Its idle connection keeps no process running, and closes by itself.
  const dispatcher = new Agent({ connect: { socketPath: socket }, keepAliveTimeout: 100 });
  return fetch(`http://localhost${path}`, { ...init, dispatcher });
}

/**
 * Sets the faults of a simulator; null: none.
 * @param {Parameters<typeof askEngine>[0]} engine
 * @param {object | null} faults
 * @throws Error when it refuses them
 */
export async function setFaults(engine, faults) {
  const change = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(faults) };
  const answer = await askEngine(engine, '/sim/faults', faults === null ? { method: 'DELETE' } : change);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`the simulator refused ${JSON.stringify(faults)}: ${text}`);
}
