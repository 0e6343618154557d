import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { RequestHandler } from 'express';
import { Failure } from '../../failure.ts';
import type { Clock } from '#runtime/clock';
import { whyForeign, type Trusted } from '#runtime/foreign-request';
import type { Log } from '#runtime/log';
import type { Dialect } from '../../dialects/dialect.ts';
import type { Metrics } from '../../metrics.ts';
import { BrokenRequests } from './broken-request.ts';
import { Connections, type ConnectionLimits } from './connections.ts';
import { errorMiddleware } from '../error-middleware.ts';
import { holdContinue } from './expected-continue.ts';
import { oneByOne } from './pipeline.ts';
import { Uploads } from './uploads.ts';
import { whyMalformed } from './well-formed.ts';

export interface IntakeDeps {
  /** of what has no route */
  readonly dialect: Dialect;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: ConnectionLimits & {
    /** longest time from the first byte of a request to the last one of its body, in milliseconds */
    readonly bodyMs: number;
  };
  /** whom the port serves; undefined: whoever has a key */
  readonly trusted: Trusted | undefined;
}

/**
 * Connections that may wait to be accepted, as a crowd may come in one moment; the kernel's own limit goes first (source:
 * listen(2), `net.core.somaxconn`, on Linux 4,096).
 */
const BACKLOG = 4_096;
const IDLE_MS = 75_000;
const LOOK_EVERY_MS = 1_000;

/** One port from the first byte of a connection to a whole request: time limits, room, and what is no request at all. */
export class Intake {
  readonly uploads: Uploads;
  readonly #connections: Connections;
  readonly #broken: BrokenRequests;
  readonly #deps: IntakeDeps;

  constructor(deps: IntakeDeps) {
    const { dialect, clock, log, metrics, limits } = deps;
    const refuse = errorMiddleware(dialect, metrics, log);
    this.#deps = deps;
    this.uploads = new Uploads(clock, (failure, req, res) => refuse(failure, req, res, () => undefined));
    this.#broken = new BrokenRequests({ dialect, uploads: this.uploads, log, metrics });
    this.#connections = new Connections(limits, clock, (socket, why) => this.#broken.answer(socket, why));
  }

  /** When the request on this connection began, where that was seen. */
  readonly begunAt = (socket: Socket): number | undefined => this.#connections.begunAt(socket);

  /**
   * First of an app's handlers: what no route is to see.
   * @param context gives such a request its ids and its log line
   */
  handlers(context: RequestHandler): RequestHandler[] {
    const judge: RequestHandler = (req, res, next) => {
      res.setHeader('x-content-type-options', 'nosniff');
      const failure = whyMalformed(req) ?? this.#foreign(req);
      if (failure === undefined) next();
      else void context(req, res, (error?: unknown) => next(error ?? failure));
    };
    return [this.uploads.watch, judge];
  }

  /** @throws Error in one sentence when the port is taken */
  listen(app: RequestListener, host: string, port: number): Promise<Server> {
    const { headMs, bodyMs } = this.#deps.limits;
    const server = createServer(
      {
        headersTimeout: headMs,
        requestTimeout: bodyMs,
        connectionsCheckingInterval: Math.min(LOOK_EVERY_MS, Math.ceil(headMs / 4)),
        keepAliveTimeout: IDLE_MS,
        // Said in JSON, with ids and a log line, by the first handler.
        requireHostHeader: false,
      },
      oneByOne(app),
    );
    this.#connections.watch(server);
    this.#broken.watch(server);
    holdContinue(server);
    return new Promise((resolve, reject) => {
      server.once('error', (cause) =>
        reject(new Error(`cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
      );
      server.listen({ port, host, backlog: BACKLOG }, () => resolve(server));
    });
  }

  #foreign({ headers, socket }: Parameters<RequestHandler>[0]): Failure | undefined {
    const { trusted } = this.#deps;
    const why = trusted && whyForeign(headers, socket.localAddress, trusted);
    return why === undefined ? undefined : new Failure('forbidden', why);
  }
}
