// @ts-check
import { pipeline } from 'node:stream/promises';
import { Pool } from 'undici';

/** More than the loads have callers. */
const CONNECTIONS = 4_096;
const engine = new Pool(process.env['ENGINE_URL'] ?? '', { connections: CONNECTIONS });

/**
 * Sends a body to the engine, and the answer to the caller as it arrives.
 * @param {string | import('node:stream').Readable} body
 * @param {import('express').Response} res
 */
export async function forward(body, res) {
  try {
    const headers = { 'content-type': 'application/json' };
    const answer = await engine.request({ method: 'POST', path: '/v1/chat/completions', headers, body });
    res.status(answer.statusCode);
    for (const name of ['content-type', 'content-length']) {
      const value = answer.headers[name];
      if (value !== undefined) res.setHeader(name, value);
    }
    await pipeline(answer.body, res);
  } catch (error) {
    console.error(error);
    if (res.headersSent) res.destroy();
    else res.status(502).end();
  }
}
