import { STATUS_CODES, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { Failure } from '#contract/failure';
import type { Dialect } from '../dialects/dialect.ts';

const HEADER_LIMIT = 'the headers are larger than 16 kB together';

/**
 * What Node could not read as an HTTP request has no route, and so no dialect of its own; still its sender is told why, in
 * JSON. A connection on which an answer is under way is closed instead, as the text would end up inside that answer.
 */
export function answerBrokenRequests(server: Server, dialect: Dialect): void {
  const answering = new WeakSet<Duplex>();
  server.on('request', ({ socket }, res) => {
    answering.add(socket);
    res.once('close', () => answering.delete(socket));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable || answering.has(socket)) {
      socket.destroy();
      return;
    }
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const failure = new Failure(
      tooLarge ? 'header_too_long' : 'invalid_request',
      tooLarge ? HEADER_LIMIT : 'this is no whole HTTP request',
    );
    const { status, headers, body } = dialect.renderFailure(failure);
    const lines = Object.entries({
      ...headers,
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body.toString()}`);
  });
}
