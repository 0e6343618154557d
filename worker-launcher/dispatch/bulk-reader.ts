import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { credentialsOf, tlsOptions, type RedisTarget } from '#runtime/redis-target';

const READ_BYTES = 256 * 1024;
/** Larger than any request that a gateway accepts. */
const LARGEST_BYTES = 512 * 1024 * 1024;
const [LINE_FEED, BULK, ERROR] = [0x0a, 0x24, 0x2d];

interface Waiting {
  resolve(value: Buffer | null): void;
  reject(cause: Error): void;
}

/**
 * Reads large values from Redis: one buffer receives all socket reads, and each value is copied once. A general client
 * allocates a buffer per read and joins them; their garbage collection costs more than everything else. It has one
 * connection, opened at the first read and reopened after a loss.
 */
export class BulkReader {
  readonly #target: RedisTarget;
  readonly #timeoutMs: number;
  #connection: Connection | undefined;

  /** @param timeoutMs longest silence while a read waits, in milliseconds */
  constructor(target: RedisTarget, timeoutMs: number) {
    this.#target = target;
    this.#timeoutMs = timeoutMs;
  }

  /** @returns null if the key does not exist @throws Error when the connection or the command fails */
  get(key: string): Promise<Buffer | null> {
    if (this.#connection?.mayRead(this.#target) !== true)
      this.#connection = new Connection(this.#target, this.#timeoutMs);
    return this.#connection.send('GET', key);
  }

  close(): void {
    this.#connection?.end(new Error('closed'));
  }
}

class Connection {
  readonly #socket: Socket;
  /** commands without an answer, in their order */
  readonly #waiting: Waiting[] = [];
  #line = '';
  #value: Buffer | undefined;
  #filled = 0;
  /** unanswered commands that log in and choose the database */
  #ungranted = 0;
  /** the password that it was opened with, if that changes */
  readonly #login: string | undefined;
  isOver = false;

  constructor(target: RedisTarget, timeoutMs: number) {
    const { protocol, hostname, port, pathname } = new URL(target.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    const onread = {
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array) => this.#take(Buffer.from(buffer.buffer, buffer.byteOffset, bytes)),
    };
    const options = { host, port: Number(port === '' ? 6379 : port), onread };
    this.#socket =
      protocol === 'rediss:' ? connectTls({ ...options, servername: host, ...tlsOptions(target) }) : connect(options);
    this.#socket.setTimeout(timeoutMs).on('timeout', () => {
      if (this.#waiting.length > 0) this.end(new Error('Redis does not answer'));
    });
    this.#socket.on('error', (cause) => this.end(cause));
    this.#socket.once('close', () => this.end(new Error('the connection to Redis was closed')));
    const { username, password } = credentialsOf(target);
    this.#login = target.login?.password;
    if (password !== '') this.#prepare('AUTH', ...(username === '' ? [password] : [username, password]));
    const database = pathname.slice(1);
    if (database !== '') this.#prepare('SELECT', database);
  }

  /** An idle connection is replaced once the password has changed: the server may close it soon. */
  mayRead({ login }: RedisTarget): boolean {
    if (this.isOver) return false;
    if (this.#waiting.length > 0 || login?.password === this.#login) return true;
    this.end(new Error('closed'));
    return false;
  }

  send(...command: string[]): Promise<Buffer | null> {
    const words = command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`*${command.length}\r\n${words.join('')}`);
    });
  }

  end(cause: Error): void {
    this.isOver = true;
    this.#socket.destroy();
    for (const waiting of this.#waiting.splice(0)) waiting.reject(cause);
  }

  /** Sends a command that must succeed before any read, because another user or database would give a wrong answer. */
  #prepare(...command: string[]): void {
    this.#ungranted += 1;
    this.send(...command).catch(() => {
      // The waiting reads get the error.
    });
  }

  /** RESP2: lines; a line that announces a value is followed by the value and a line end (source: Redis serialization protocol). */
  #take(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length && !this.isOver)
      at = this.#value === undefined ? this.#takeLine(bytes, at) : this.#fill(bytes, at);
    return true;
  }

  #takeLine(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(LINE_FEED, from);
    this.#line += bytes.toString('latin1', from, end < 0 ? bytes.length : end + 1);
    if (end < 0) return bytes.length;
    const line = this.#line;
    this.#line = '';
    const length = Number(line.slice(1, -2));
    if (line.charCodeAt(0) === ERROR) this.#refused(new Error(line.slice(1, -2)));
    else if (line.charCodeAt(0) !== BULK || length < 0) this.#granted();
    else if (length <= LARGEST_BYTES) {
      this.#value = Buffer.allocUnsafeSlow(length + 2);
      this.#filled = 0;
    } else this.end(new Error('Redis sent an unexpected answer'));
    return end + 1;
  }

  #refused(cause: Error): void {
    if (this.#ungranted > 0) this.end(cause);
    else this.#waiting.shift()?.reject(cause);
  }

  /** The key does not exist, or the command returns no value. */
  #granted(): void {
    this.#ungranted = Math.max(0, this.#ungranted - 1);
    this.#waiting.shift()?.resolve(null);
  }

  #fill(bytes: Buffer, from: number): number {
    const value = this.#value;
    if (value === undefined) return from;
    const copied = bytes.copy(value, this.#filled, from);
    this.#filled += copied;
    if (this.#filled === value.length) {
      this.#value = undefined;
      this.#waiting.shift()?.resolve(value.subarray(0, -2));
    }
    return from + copied;
  }
}
