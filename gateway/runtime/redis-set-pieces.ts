import { Writable } from 'node:stream';
import { Command } from 'ioredis';
import type { RedisClient } from './redis-client.ts';

/**
 * `SET key value PX lifeMs`, with `XX` if the key must exist, whose value is written piece by piece. ioredis would copy
 * a value twice. Garbage collection of a picture's copies costs more CPU than all other work on it.
 */
class SetPieces extends Command {
  readonly #key: string;
  readonly #pieces: readonly Buffer[];
  readonly #options: readonly string[];

  constructor(key: string, pieces: readonly Buffer[], options: readonly string[]) {
    super('set', [key, '', ...options], { replyEncoding: 'utf8' });
    this.#key = key;
    this.#pieces = pieces;
    this.#options = options;
  }

  override toWritable(socket: object): string | Buffer {
    const length = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    const count = 3 + this.#options.length;
    const head = `*${count}\r\n$3\r\nSET\r\n$${Buffer.byteLength(this.#key)}\r\n${this.#key}\r\n$${length}\r\n`;
    const tail = `\r\n${this.#options.map((option) => `$${option.length}\r\n${option}\r\n`).join('')}`;
    if (!(socket instanceof Writable)) return Buffer.concat([Buffer.from(head), ...this.#pieces, Buffer.from(tail)]);
    // One system call for all pieces; ioredis writes the returned text.
    socket.cork();
    process.nextTick(() => socket.uncork());
    socket.write(head);
    for (const piece of this.#pieces) socket.write(piece);
    return tail;
  }
}

/**
 * Sets a value that is given in pieces. The pieces must not change until it is done.
 * @param lifeMs whole milliseconds
 * @param mustExist sets the key only if it already exists
 * @returns whether it was set
 */
export async function setPieces(
  redis: RedisClient,
  key: string,
  pieces: readonly Buffer[],
  lifeMs: number,
  mustExist = false,
): Promise<boolean> {
  const options = ['PX', String(lifeMs), ...(mustExist ? ['XX'] : [])];
  return (await redis.sendCommand(new SetPieces(key, pieces, options))) !== null;
}
