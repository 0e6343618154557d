import { Writable } from 'node:stream';
import { Command, type Redis } from 'ioredis';

/**
 * `SET key value PX life` whose value is written piece by piece. ioredis would copy a value twice, and a picture's copies
 * cost more in garbage collection than all else that is done with it.
 */
class SetPieces extends Command {
  readonly #key: string;
  readonly #pieces: readonly Buffer[];
  readonly #life: string;

  constructor(key: string, pieces: readonly Buffer[], lifeMs: number) {
    super('set', [key, '', 'PX', lifeMs]);
    this.#key = key;
    this.#pieces = pieces;
    this.#life = String(lifeMs);
  }

  override toWritable(socket: object): string | Buffer {
    const length = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    const head = `*5\r\n$3\r\nSET\r\n$${String(Buffer.byteLength(this.#key))}\r\n${this.#key}\r\n$${String(length)}\r\n`;
    const tail = `\r\n$2\r\nPX\r\n$${String(this.#life.length)}\r\n${this.#life}\r\n`;
    if (!(socket instanceof Writable)) return Buffer.concat([Buffer.from(head), ...this.#pieces, Buffer.from(tail)]);
    // One system call for all; ioredis writes what is returned.
    socket.cork();
    process.nextTick(() => socket.uncork());
    socket.write(head);
    for (const piece of this.#pieces) socket.write(piece);
    return tail;
  }
}

/** Sets a value given in pieces; they must not change until it is done. @param lifeMs whole milliseconds */
export async function setPieces(redis: Redis, key: string, pieces: readonly Buffer[], lifeMs: number): Promise<void> {
  await redis.sendCommand(new SetPieces(key, pieces, lifeMs));
}
