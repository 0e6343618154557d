import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface FakeEngine extends AsyncDisposable {
  readonly port: number;
  /** received requests in order, with parsed bodies and the instant of an early close of the connection, if any */
  readonly requests: {
    readonly path: string;
    readonly headers: IncomingMessage['headers'];
    readonly body: unknown;
    abortedAt?: number;
  }[];
}

/** A scripted engine on its own port: the test writes the answer byte by byte. */
export async function startFakeEngine(answer: (res: ServerResponse, body: unknown) => void): Promise<FakeEngine> {
  const requests: FakeEngine['requests'] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const seen: FakeEngine['requests'][number] = {
        path: req.url ?? '',
        headers: req.headers,
        body: JSON.parse(Buffer.concat(chunks).toString()) as unknown,
      };
      requests.push(seen);
      res.on('close', () => {
        if (!res.writableFinished) seen.abortedAt = performance.now();
      });
      answer(res, seen.body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    requests,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
