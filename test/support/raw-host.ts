import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { portOf } from './port-of.ts';

/** @param path of the request, such as `/a.png`; the socket is closed by the script */
export type RawScript = (socket: Socket, path: string) => void;

/** A host that answers each request with the test's own bytes. */
export interface RawHost extends AsyncDisposable {
  readonly port: number;
  /** paths of the requests, in their order */
  readonly asked: string[];
  /** open connections */
  readonly open: Set<Socket>;
  at(path: string): string;
}

/** @param where address, unless it is a free port of 127.0.0.1 */
export async function startRawHost(script: RawScript, where = { address: '127.0.0.1', port: 0 }): Promise<RawHost> {
  const asked: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    let head = '';
    socket.on('data', (bytes: Buffer) => {
      head += bytes.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const path = head.split(' ')[1] ?? '';
      head = '';
      asked.push(path);
      script(socket, path);
    });
  });
  server.listen(where.port, where.address);
  await once(server, 'listening');
  const port = portOf(server);
  return {
    port,
    asked,
    open,
    at: (path) => `http://${where.address}:${port}${path}`,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
