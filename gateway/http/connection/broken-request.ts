import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Failure } from '../../failure.ts';
import type { Log } from '#runtime/log';
import type { Dialect } from '../../dialects/dialect.ts';
import type { Metrics } from '../../metrics.ts';
import type { Uploads } from './uploads.ts';

export interface BrokenRequestDeps {
  readonly dialect: Dialect;
  readonly uploads: Uploads;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'refusals'>;
}

const HEADER_LIMIT = 'the headers are larger than 16 kB together';
const NO_HTTP = 'this is not a complete HTTP/1.1 request';
/** First byte of a TLS handshake (RFC 8446 5.1). */
const TLS = 0x16;
/** A client that does not read its answer is disconnected after this, in milliseconds. */
const CUT_MS = 2_000;

/**
 * Answers what Node could not read as an HTTP request, or not in time. Such a request has no route and so no dialect;
 * its sender gets the reason in JSON, and the log has a line. A request that waits for its body is answered in its
 * dialect. If another answer is running on the connection, the connection is closed after that answer instead.
 */
export class BrokenRequests {
  readonly #deps: BrokenRequestDeps;
  /** running answers */
  readonly #answers = new WeakMap<Duplex, number>();
  readonly #ending = new WeakSet<Duplex>();
  readonly #answered = new WeakSet<Duplex>();

  constructor(deps: BrokenRequestDeps) {
    this.#deps = deps;
  }

  watch(server: Server): void {
    server.on('request', ({ socket }, res) => {
      this.#answers.set(socket, (this.#answers.get(socket) ?? 0) + 1);
      res.once('close', () => {
        const left = (this.#answers.get(socket) ?? 1) - 1;
        this.#answers.set(socket, left);
        if (left === 0 && this.#ending.has(socket)) socket.destroySoon();
      });
    });
    // With Node's own server, the socket of these events is always a net.Socket.
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => this.#judge(error, socket));
    server.on('connect', (_req, socket: Socket) => {
      this.answer(socket, new Failure('method_not_allowed', 'this is no proxy: CONNECT is not supported'));
    });
  }

  /** Answers on a connection without a request, and closes it. */
  answer(socket: Socket, failure: Failure): void {
    const { dialect, log, metrics, uploads } = this.#deps;
    if (uploads.refuse(socket, failure) || this.#answered.has(socket)) return;
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    this.#answered.add(socket);
    const { status, headers, body } = dialect.renderFailure(failure);
    const id = randomUUID();
    const lines = Object.entries({
      ...headers,
      'content-length': String(Buffer.byteLength(body)),
      'x-content-type-options': 'nosniff',
      'x-request-id': id,
      'x-ms-request-id': id,
      connection: 'close',
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.on('error', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body.toString()}`);
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), CUT_MS);
    socket.once('close', () => clearTimeout(timer));
    metrics.refusals.inc({ rule: failure.code });
    log.info({ dialect: dialect.name, status, outcome: failure.code, callerRequestId: id }, 'request');
  }

  #judge(error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer }, socket: Socket): void {
    const { code } = error;
    const isLate = code === 'ERR_HTTP_REQUEST_TIMEOUT';
    // The client closed its end, so it has left.
    const hasLeft = code === 'ECONNRESET' || code === 'HPE_INVALID_EOF_STATE';
    if (hasLeft && this.#isAnswering(socket)) socket.destroy();
    // No handshake, so no answer that its client could read.
    else if (code?.startsWith('ERR_SSL_') === true || code?.startsWith('ERR_TLS_') === true) socket.destroy();
    else if (code === 'ECONNRESET') socket.destroy();
    else if (isLate && this.#deps.uploads.refuse(socket, tooLate('body'))) return;
    else if (isLate && this.#isAnswering(socket)) this.#ending.add(socket);
    else if (isLate) this.answer(socket, tooLate('head'));
    else if (this.#isAnswering(socket) && !this.#deps.uploads.has(socket)) socket.destroy();
    else this.answer(socket, failureOf(code, error.rawPacket));
  }

  #isAnswering(socket: Socket): boolean {
    return (this.#answers.get(socket) ?? 0) > 0;
  }
}

function tooLate(part: 'head' | 'body'): Failure {
  return new Failure('request_timeout', `the ${part} of the request did not arrive in time`);
}

function failureOf(code: string | undefined, seen: Buffer | undefined): Failure {
  if (code === 'HPE_HEADER_OVERFLOW') return new Failure('header_too_long', HEADER_LIMIT);
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return new Failure('invalid_request', 'the chunk extensions are larger than 16 kB together');
  if (code === 'HPE_PAUSED_H2_UPGRADE')
    return new Failure('invalid_request', 'this port does not support HTTP/2; use HTTP/1.1');
  const isTls = seen?.[0] === TLS;
  return new Failure('invalid_request', isTls ? 'this port takes plain HTTP, not TLS; use http://' : NO_HTTP);
}
