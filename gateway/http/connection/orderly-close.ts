import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** What a client may still send after its answer before it is disconnected: more than most pictures have. */
const READ_LIMIT_BYTES = 16 * 1024 * 1024;
const READ_LIMIT_MS = 3_000;
/** Each piece counts as at least this many bytes, because each costs some microseconds. */
const LEAST_PIECE_BYTES = 2_048;
const closing = new WeakSet<Socket>();

/** The last answer of this connection was sent; whatever arrives after it is no request. */
export function isClosing(socket: Socket): boolean {
  return closing.has(socket);
}

/**
 * Node closes a connection as soon as its last answer is written (`destroySoon`). If the client is still sending then,
 * the kernel sends a reset, and many clients lose the answer. So the gateway closes its own end first, and reads and
 * drops what still arrives (RFC 9112 9.6).
 */
export function closeOrderly(req: IncomingMessage): void {
  const { socket } = req;
  const restore = (): void => void Reflect.deleteProperty(socket, 'destroySoon');
  req.once('end', restore);
  socket.destroySoon = () => {
    restore();
    closing.add(socket);
    let left = READ_LIMIT_BYTES;
    const timer = setTimeout(() => socket.destroy(), READ_LIMIT_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.end();
    // Reads everything that has arrived in one call; small pieces would otherwise be handed over one by one.
    req.read();
    req.on('data', (bytes: Buffer) => {
      left -= Math.max(bytes.length, LEAST_PIECE_BYTES);
      if (left < 0) socket.destroy();
    });
    req.once('end', () => socket.destroy());
    req.resume();
  };
}
