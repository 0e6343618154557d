import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Limit of requests on one connection that wait for the running one. */
const MOST_WAITING = 100;

/**
 * Node hands over all requests of a connection that arrive in one piece together. In 60 kB there are about 2,000, which
 * would delay all other callers. So each one waits for the answer before it, and other callers are served in between. A
 * connection that sends too many requests ahead is closed.
 */
export function oneByOne(app: RequestListener): RequestListener {
  /** per connection with a running request */
  const waiting = new WeakMap<Socket, [IncomingMessage, ServerResponse][]>();
  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    const { socket } = req;
    res.once('close', () => {
      const next = waiting.get(socket)?.shift();
      if (next === undefined) waiting.delete(socket);
      else setImmediate(() => answer(...next));
    });
    // Node ends an answer with its connection only if it had its turn.
    if (socket.destroyed) res.emit('close');
    else app(req, res);
  };
  return (req, res) => {
    const { socket } = req;
    const behind = waiting.get(socket);
    // A counter of requests may follow this answer only after this call.
    const end = (): void => void setImmediate(() => res.emit('close'));
    if (socket.destroyed) return end();
    if (behind === undefined) {
      waiting.set(socket, []);
      answer(req, res);
    } else if (behind.length < MOST_WAITING) behind.push([req, res]);
    else {
      socket.destroy();
      end();
    }
  };
}
