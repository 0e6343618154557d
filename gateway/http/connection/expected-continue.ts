import type { IncomingMessage, Server, ServerResponse } from 'node:http';

const waiting = new WeakSet<ServerResponse>();

/**
 * A client that sends `Expect: 100-continue` waits with its body (RFC 9110 10.1.1). It gets its `100 Continue` when the
 * gateway reads the body, after the head was checked. Other expectations may be ignored, and are.
 */
export function holdContinue(server: Server): void {
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    waiting.add(res);
    server.emit('request', req, res);
  });
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => void server.emit('request', req, res));
}

/** Call it where the reading of a body begins. */
export function wantBody(res: ServerResponse): void {
  if (waiting.delete(res)) res.writeContinue();
}
