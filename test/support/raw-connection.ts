import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** One TCP connection whose bytes the test writes itself. */
export interface RawConnection {
  readonly socket: Socket;
  /** received bytes so far */
  readonly text: () => string;
  /** status line and headers of the first answer, once received */
  readonly status: () => number;
  readonly isClosed: () => boolean;
  /** the connection was reset */
  readonly wasReset: () => boolean;
  readonly closed: Promise<void>;
}

/** @param first bytes to send immediately; `''` for a silent connection */
export async function rawConnection(url: string, first: string | Buffer = ''): Promise<RawConnection> {
  const { port, hostname } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  let text = '';
  let closed = false;
  let reset = false;
  socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
  socket.on(
    'error',
    (error: NodeJS.ErrnoException) => (reset ||= error.code === 'ECONNRESET' || error.code === 'EPIPE'),
  );
  const end = once(socket, 'end').catch(() => undefined);
  const close = once(socket, 'close').catch(() => undefined);
  void end.then(() => socket.end());
  await once(socket, 'connect');
  if (first.length > 0) socket.write(first);
  return {
    socket,
    text: () => text,
    status: () => Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0),
    isClosed: () => closed,
    wasReset: () => reset,
    closed: Promise.race([end, close]).then(() => {
      closed = true;
    }),
  };
}

/** The JSON of the last answer on a connection. */
export function bodyOf(text: string): unknown {
  return JSON.parse(text.slice(text.lastIndexOf('\r\n\r\n') + 4));
}

/** A header of the last answer. */
export function headerOf(text: string, name: string): string | undefined {
  const head = /.*(HTTP\/1\.1 \d{3} .*?\r\n)\r\n/s.exec(text)?.[1] ?? '';
  return new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim();
}
