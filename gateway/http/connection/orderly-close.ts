import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** What a client may still send after its answer, until its connection is cut: more than most pictures. */
const READ_LIMIT_BYTES = 16 * 1024 * 1024;
const READ_LIMIT_MS = 3_000;
/** A piece counts for at least so much, as each costs some microseconds. */
const LEAST_PIECE_BYTES = 2_048;
const closing = new WeakSet<Socket>();

/** The answer of this connection was its last one; what else comes on it is no request. */
export function isClosing(socket: Socket): boolean {
  return closing.has(socket);
}

/**
 * Node closes a connection as soon as its last answer is written (`destroySoon`). Where the client is still sending then,
 * the kernel answers with a reset, which makes many clients lose the answer. So our end is closed first, and what still
 * comes is read and dropped for a while (RFC 9112 9.6).
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
    // What came meanwhile, at once: tiny pieces would be handed over one by one.
    req.read();
    req.on('data', (bytes: Buffer) => {
      left -= Math.max(bytes.length, LEAST_PIECE_BYTES);
      if (left < 0) socket.destroy();
    });
    req.once('end', () => socket.destroy());
    req.resume();
  };
}
