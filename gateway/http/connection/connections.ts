import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { Failure } from '../../failure.ts';
import type { Clock } from '#runtime/clock';
import { hasBody } from './uploads.ts';

export interface ConnectionLimits {
  /** connections that may be open */
  readonly all: number;
  /** of these, connections of one address without a complete request */
  readonly incompletePerAddress: number;
  /** longest time from the first byte of a request to the end of its head, in milliseconds */
  readonly headMs: number;
}

/** A connection without a complete request: new, or in the middle of a head or a body. */
interface Incomplete {
  readonly address: string;
  readonly since: number;
}

const LOOK_EVERY_MS = 1_000;
/** Minimum age in ms before a connection is closed for others, so that its request has time to arrive. */
const YOUNG_MS = 1_000;
/** Node's own limits act first; this is for bytes that its parser does not take for a request, such as empty lines. */
const LATE_MS = 2_000;
const NO_ROOM = 'too many connections wait for the rest of a request; this one has waited longest';

/**
 * Limits the number of connections. A connection is incomplete, busy (a complete request is being answered) or idle.
 * Only incomplete ones count for an address, because the callers behind a balancer share one. The oldest is closed
 * first.
 */
export class Connections {
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  readonly #refuse: (socket: Socket, why: Failure) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #all = new Set<Socket>();
  /** each map in the order of age, the oldest first */
  readonly #incomplete = new Map<Socket, Incomplete>();
  readonly #byAddress = new Map<string, Set<Socket>>();
  /** with the number of bytes that had arrived when its answer ended */
  readonly #idle = new Map<Socket, number>();
  /** when the beginning of a request was noticed */
  readonly #begunAt = new WeakMap<Socket, number>();
  /** answers that have not ended */
  readonly #answers = new WeakMap<Socket, number>();
  /** connections below TLS: no answer can be written there */
  readonly #handshakes = new WeakSet<Socket>();

  /** @param refuse ends an incomplete connection and sends its client the reason */
  constructor(limits: ConnectionLimits, clock: Clock, refuse: (socket: Socket, why: Failure) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#refuse = refuse;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  watch(server: Server): void {
    server.on('connection', (socket) => this.#opened(socket));
    // Of a port with TLS: until then, the connection is one below TLS.
    const below = new Map<string, Socket>();
    if (server instanceof TlsServer) server.on('connection', (socket: Socket) => this.#shakesHands(socket, below));
    server.on('secureConnection', (socket: Socket) => {
      this.#forget(below.get(endOf(socket)));
      this.#opened(socket);
    });
    server.prependListener('request', (req, res) => this.#asked(req, res));
    server.once('close', () => clearInterval(this.#timer));
  }

  /** When the request on this connection began, known to one second without a look at each byte. */
  begunAt(socket: Socket): number | undefined {
    return this.#begunAt.get(socket);
  }

  #opened(socket: Socket): void {
    this.#all.add(socket);
    this.#wait(socket);
    socket.once('close', () => {
      this.#all.delete(socket);
      this.#idle.delete(socket);
      this.#complete(socket);
    });
    const address = this.#incomplete.get(socket)?.address ?? '';
    this.#makeRoomFor(address);
    while (this.#all.size > this.#limits.all && this.#giveUpOne());
  }

  #shakesHands(socket: Socket, below: Map<string, Socket>): void {
    const end = endOf(socket);
    below.set(end, socket);
    this.#handshakes.add(socket);
    socket.once('close', () => {
      if (below.get(end) === socket) below.delete(end);
    });
  }

  #forget(socket: Socket | undefined): void {
    if (socket === undefined) return;
    this.#all.delete(socket);
    this.#complete(socket);
  }

  #asked(req: IncomingMessage, res: ServerResponse): void {
    const { socket } = req;
    this.#answers.set(socket, (this.#answers.get(socket) ?? 0) + 1);
    this.#idle.delete(socket);
    if (!hasBody(req)) this.#complete(socket);
    else {
      if (!this.#incomplete.has(socket)) this.#wait(socket);
      req.once('end', () => this.#complete(socket));
    }
    // A client that does not read its answer holds a connection too, and may lose it to others.
    res.once('prefinish', () => {
      const left = (this.#answers.get(socket) ?? 1) - 1;
      this.#answers.set(socket, left);
      this.#begunAt.delete(socket);
      if (left === 0 && this.#all.has(socket) && !this.#incomplete.has(socket))
        this.#idle.set(socket, socket.bytesRead);
    });
  }

  #wait(socket: Socket): void {
    const address = networkOf(socket.remoteAddress ?? '');
    this.#incomplete.set(socket, { address, since: this.#clock() });
    const others = this.#byAddress.get(address);
    if (others === undefined) this.#byAddress.set(address, new Set([socket]));
    else others.add(socket);
  }

  #complete(socket: Socket): void {
    const known = this.#incomplete.get(socket);
    if (known === undefined) return;
    this.#incomplete.delete(socket);
    const others = this.#byAddress.get(known.address);
    others?.delete(socket);
    if (others?.size === 0) this.#byAddress.delete(known.address);
  }

  /** Closes the oldest incomplete connection, or an idle one if the former is too young. */
  #giveUpOne(): boolean {
    const [oldest] = this.#incomplete.keys();
    const [idle] = this.#idle.keys();
    const socket = oldest !== undefined && (idle === undefined || !this.#isYoung(oldest)) ? oldest : idle;
    if (socket === undefined) return false;
    this.#giveUp(socket);
    return true;
  }

  #makeRoomFor(address: string): void {
    const sockets = this.#byAddress.get(address);
    for (const socket of sockets ?? []) {
      if ((sockets?.size ?? 0) <= this.#limits.incompletePerAddress || this.#isYoung(socket)) return;
      this.#giveUp(socket);
    }
  }

  #giveUp(socket: Socket, why = new Failure('overloaded', NO_ROOM)): void {
    const isIdle = this.#idle.delete(socket);
    this.#all.delete(socket);
    this.#complete(socket);
    if (isIdle || this.#handshakes.has(socket)) socket.destroy();
    else this.#refuse(socket, why);
  }

  #isYoung(socket: Socket): boolean {
    return this.#clock() - (this.#incomplete.get(socket)?.since ?? 0) < YOUNG_MS;
  }

  #look(): void {
    const now = this.#clock();
    for (const [socket, bytes] of this.#idle) {
      if (socket.bytesRead === bytes) continue;
      this.#idle.delete(socket);
      this.#wait(socket);
      this.#begunAt.set(socket, now);
    }
    for (const [socket, { since }] of this.#incomplete) {
      if (socket.bytesRead > 0 && !this.#begunAt.has(socket)) this.#begunAt.set(socket, now);
      const isReading = (this.#answers.get(socket) ?? 0) > 0;
      if (!isReading && now - since > this.#limits.headMs + LATE_MS)
        this.#giveUp(socket, new Failure('request_timeout', 'no request arrived in time'));
    }
    for (const address of this.#byAddress.keys()) this.#makeRoomFor(address);
  }
}

/** The client's end of a connection. */
function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** The holder of an IPv6 address has at least the 2^64 addresses of its /64 (RFC 6177). */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail = ''] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  return [...groups, ...Array.from({ length: missing }, () => '0')].slice(0, 4).join(':');
}
