import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests that one connection may have waiting behind the one that is being answered. */
const MOST_WAITING = 100;

/**
 * Node hands over all requests of a connection that came in one piece at once: 60 kB of them are some 2,000, which would
 * hold up all other callers. So each waits for the answer of the one before it, and others get their turn in between. A
 * connection that sends too many ahead is closed.
 */
export function oneByOne(app: RequestListener): RequestListener {
  /** of each connection that is being answered */
  const waiting = new WeakMap<Socket, [IncomingMessage, ServerResponse][]>();
  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    const { socket } = req;
    res.once('close', () => {
      const next = waiting.get(socket)?.shift();
      if (next === undefined) waiting.delete(socket);
      else setImmediate(() => answer(...next));
    });
    if (!socket.destroyed) app(req, res);
  };
  return (req, res) => {
    const { socket } = req;
    const behind = waiting.get(socket);
    if (socket.destroyed) return;
    if (behind === undefined) {
      waiting.set(socket, []);
      answer(req, res);
    } else if (behind.length < MOST_WAITING) behind.push([req, res]);
    else socket.destroy();
  };
}
