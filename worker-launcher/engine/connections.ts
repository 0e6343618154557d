import { connect, type Socket } from 'node:net';
import type { EngineAddress } from './address.ts';
import { HttpAnswer, type AnswerParts } from './http-answer.ts';

/** Idle connections are closed before the engine closes them: vLLM's keep-alive timeout is 5 s unless raised. */
const IDLE_MS = 4_000;
const CONNECT_MS = 10_000;
/** All connections read into this buffer: each piece is used before the next one is read, so no token needs its own. */
const PIECE = Buffer.allocUnsafeSlow(64 * 1024);

/** Receives the answer to one request; `end` or `failed` comes last, once. */
export interface AnswerTaker extends AnswerParts {
  end(): void;
  failed(cause: Error): void;
}

/** The engine closed the connection before the end of its answer. */
export class ClosedEarly extends Error {
  constructor() {
    super('the engine closed the connection');
  }
}

/** Connections to one engine. As many requests at a time as the caller sends, each on its own connection. */
export class EngineConnections {
  readonly #address: EngineAddress;
  readonly #open = new Set<Connection>();
  readonly #idle: Connection[] = [];
  #repeats: (() => void)[] = [];
  #isDestroyed = false;

  constructor(address: EngineAddress) {
    this.#address = address;
  }

  /**
   * Sends one request. The taker is called later, never during this call.
   * @param isFresh on a new connection
   */
  send(head: string, body: Buffer, taker: AnswerTaker, isFresh: boolean): Connection {
    const connection = (isFresh ? undefined : this.#idle.pop()) ?? this.#connect();
    connection.send(head, body, taker);
    if (this.#isDestroyed) connection.end(new Error('the engine was replaced'));
    return connection;
  }

  /**
   * Sends a lost request again at the end of this run of the event loop. If an engine died of one request, it lost many
   * together, and the one that it took last is suspected. So the last goes first, and the others are not lost with it twice.
   */
  again(send: () => void): void {
    if (this.#repeats.push(send) > 1) return;
    setImmediate(() => {
      const repeats = this.#repeats.toReversed();
      this.#repeats = [];
      for (const repeat of repeats) repeat();
    });
  }

  /** Ends all connections; running requests fail. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const connection of this.#open) connection.end(new Error('the engine was replaced'));
  }

  /** `Host` of requests to it. */
  get host(): string {
    return 'socket' in this.#address ? 'localhost' : `127.0.0.1:${this.#address.port}`;
  }

  #connect(): Connection {
    const connection = new Connection(this.#address, {
      idle: () => this.#idle.push(connection),
      closed: () => {
        this.#open.delete(connection);
        const at = this.#idle.indexOf(connection);
        if (at >= 0) this.#idle.splice(at, 1);
      },
    });
    this.#open.add(connection);
    return connection;
  }
}

interface ConnectionEvents {
  idle(): void;
  closed(): void;
}

/** One connection, with one request at a time. */
class Connection {
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  #answer: HttpAnswer | undefined;
  #taker: AnswerTaker | undefined;
  #cause: Error | undefined;

  constructor(address: EngineAddress, events: ConnectionEvents) {
    this.#events = events;
    const callback = (bytes: number): boolean => {
      this.#read(PIECE.subarray(0, bytes));
      return true;
    };
    const onread = { buffer: PIECE, callback };
    const to = 'socket' in address ? { path: address.socket } : { port: address.port, host: '127.0.0.1' };
    const socket = connect({ ...to, noDelay: true, onread });
    this.#socket = socket;
    socket.setTimeout(CONNECT_MS);
    socket.once('connect', () => socket.setTimeout(0));
    socket.on('timeout', () => this.end(socket.connecting ? new ConnectTimeout() : undefined));
    socket.on('error', (cause) => {
      this.#cause ??= cause;
    });
    socket.once('end', () => this.#closed());
    socket.once('close', () => this.#closed());
  }

  send(head: string, body: Buffer, taker: AnswerTaker): void {
    this.#taker = taker;
    this.#answer = new HttpAnswer(taker);
    const socket = this.#socket;
    socket.ref();
    if (!socket.connecting) socket.setTimeout(0);
    socket.cork();
    socket.write(head, 'latin1');
    socket.write(body);
    socket.uncork();
  }

  /** Closes it; a running request gets no more calls. */
  abort(): void {
    this.#taker = undefined;
    this.#socket.destroy();
  }
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }

  /** Closes it; a running request fails. */
  end(cause: Error | undefined): void {
    this.#cause ??= cause;
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    const answer = this.#answer;
    // Nothing was requested.
    if (answer === undefined) return this.end(undefined);
    try {
      answer.read(bytes);
    } catch (cause) {
      return this.end(cause instanceof Error ? cause : new Error('the answer could not be taken', { cause }));
    }
    if (answer.isOver && this.#answer === answer) this.#complete(answer.staysOpen);
  }

  #complete(staysOpen: boolean): void {
    const taker = this.#taker;
    this.#answer = undefined;
    this.#taker = undefined;
    const socket = this.#socket;
    if (!staysOpen || socket.writableLength > 0) socket.destroy();
    if (!socket.destroyed) {
      socket.resume();
      socket.setTimeout(IDLE_MS);
      socket.unref();
      this.#events.idle();
    }
    taker?.end();
  }

  #closed(): void {
    this.#events.closed();
    const taker = this.#taker;
    this.#taker = undefined;
    this.#socket.destroy();
    if (this.#cause === undefined && this.#answer?.endsByClose === true) taker?.end();
    else taker?.failed(this.#cause ?? new ClosedEarly());
  }
}

/** No engine accepts connections. */
class ConnectTimeout extends Error {
  readonly code = 'ETIMEDOUT';
  constructor() {
    super('the engine does not accept the connection');
  }
}
