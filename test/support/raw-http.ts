import { connect, type Socket } from 'node:net';

/** One connection whose bytes the test writes itself. */
export interface RawHttp {
  readonly socket: Socket;
  /** all received bytes so far */
  received(): string;
  /** status of the first answer that is not a 1xx; resolves with its head, or with 0 if the connection ends first */
  readonly status: Promise<number>;
  readonly closed: Promise<void>;
}

/** @param bytes bytes to send immediately */
export function rawHttp(url: string, bytes: string | Buffer): RawHttp {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = '';
  const head = /(?:^|\r\n\r\n)HTTP\/1\.1 ([2-5]\d\d) [^]*?\r\n\r\n/;
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  const status = new Promise<number>((resolve) => {
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const found = head.exec(received)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
    void closed.then(() => resolve(Number(head.exec(received)?.[1] ?? 0)));
  });
  socket.on('error', () => {});
  socket.write(bytes);
  return { socket, received: () => received, status, closed };
}

/** The head of a POST of JSON. @param headers further lines, such as `content-length: 5` */
export function postHead(path: string, ...headers: string[]): string {
  return [`POST ${path} HTTP/1.1`, 'host: 127.0.0.1', 'content-type: application/json', ...headers, '', ''].join(
    '\r\n',
  );
}
