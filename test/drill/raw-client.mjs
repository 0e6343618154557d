// @ts-check
import { once } from 'node:events';
import { connect } from 'node:net';
import { until } from './processes.mjs';

const CONNECTED_WITHIN_MS = 60_000;

/**
 * A client on a raw socket, which can misbehave: stop in the middle of its request, leave at any
 * byte, never read.
 */
export class RawClient {
  received = 0;
  #socket;
  #request;
  closed = false;

  /** @param {number} port @param {string} path @param {object} body @param {Record<string, string>} [headers] */
  constructor(port, path, body, headers = {}) {
    const text = JSON.stringify(body);
    const all = { host: `127.0.0.1:${port}`, 'content-type': 'application/json', ...headers };
    const lines = Object.entries({ ...all, 'content-length': String(Buffer.byteLength(text)) });
    this.#request = Buffer.from(
      `POST ${path} HTTP/1.1\r\n${lines.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n${text}`,
    );
    this.#socket = connect({ port, host: '127.0.0.1' });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.closed = true;
    });
  }

  /** @param {{ upTo?: number, reads?: boolean }} [options] `upTo`: only this many bytes of the request */
  async send({ upTo = Infinity, reads = true } = {}) {
    await once(this.#socket, 'connect', { signal: AbortSignal.timeout(CONNECTED_WITHIN_MS) });
    if (reads) {
      this.#socket.on('data', (piece) => {
        this.received += piece.length;
      });
    } else this.#socket.pause();
    this.#socket.write(this.#request.subarray(0, Math.min(upTo, this.#request.length)));
    return this;
  }

  get requestBytes() {
    return this.#request.length;
  }

  /** Waits for this many bytes of the answer, or its end. @param {number} bytes @param {number} limitMs */
  async has(bytes, limitMs) {
    await until(`${bytes} bytes`, () => this.received >= bytes || this.closed, limitMs);
  }

  /** Closes the connection. @returns {bigint} the instant, in ns of the machine's monotonic clock */
  leave() {
    const at = process.hrtime.bigint();
    this.#socket.destroy();
    return at;
  }

  /** Resets it (RST). */
  reset() {
    this.#socket.resetAndDestroy();
  }
}
