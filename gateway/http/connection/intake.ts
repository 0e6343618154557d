import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { RequestHandler } from 'express';
import { Failure } from '../../failure.ts';
import type { Clock } from '#runtime/clock';
import { whyForeign, type Trusted } from '#runtime/foreign-request';
import type { Log } from '#runtime/log';
import type { Dialect } from '../../dialects/dialect.ts';
import type { Metrics } from '../../metrics.ts';
import { BrokenRequests } from './broken-request.ts';
import { Certificate, type CertificateFiles } from './certificate.ts';
import { Connections, type ConnectionLimits } from './connections.ts';
import { errorMiddleware } from '../error-middleware.ts';
import { holdContinue } from './expected-continue.ts';
import { oneByOne } from './pipeline.ts';
import { Uploads } from './uploads.ts';
import { whyMalformed } from './well-formed.ts';

export { tlsFiles } from './certificate.ts';

export interface IntakeDeps {
  /** for requests without a route */
  readonly dialect: Dialect;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: ConnectionLimits & {
    /** longest time from the first byte of a request to the last one of its body, in milliseconds */
    readonly bodyMs: number;
  };
  /** callers that the port serves; undefined: all callers with a key */
  readonly trusted: Trusted | undefined;
}

/**
 * Limit of connections that wait to be accepted when many arrive in one moment. The kernel's own limit may be lower
 * (source: listen(2), `net.core.somaxconn`, on Linux 4,096).
 */
const BACKLOG = 4_096;
const IDLE_MS = 75_000;
const LOOK_EVERY_MS = 1_000;

/** One port from the first byte to a complete request: timeouts, limits of connections, input that is no request. */
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

  /** When the request on this connection began, if that was noticed. */
  readonly begunAt = (socket: Socket): number | undefined => this.#connections.begunAt(socket);

  /**
   * First of an app's handlers, for requests that no route gets.
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

  /**
   * @param tls of a port that speaks TLS
   * @throws Error in one sentence if the port is taken, or its certificate cannot be used
   */
  listen(app: RequestListener, host: string, port: number, tls?: CertificateFiles): Promise<Server> {
    const { headMs, bodyMs } = this.#deps.limits;
    const options = {
      headersTimeout: headMs,
      requestTimeout: bodyMs,
      connectionsCheckingInterval: Math.min(LOOK_EVERY_MS, Math.ceil(headMs / 4)),
      keepAliveTimeout: IDLE_MS,
      // The first handler refuses it in JSON, with ids and a log line.
      requireHostHeader: false,
    };
    const server =
      tls === undefined
        ? createServer(options, oneByOne(app))
        : this.#createTls(tls, { ...options, handshakeTimeout: headMs }, oneByOne(app));
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

  #createTls(files: CertificateFiles, options: ServerOptions, app: RequestListener): Server {
    const certificate = new Certificate(files, this.#deps.log);
    const server = createTlsServer({ ...options, ...certificate.options }, app);
    certificate.follow(server);
    return server;
  }

  #foreign({ headers, socket }: Parameters<RequestHandler>[0]): Failure | undefined {
    const { trusted } = this.#deps;
    const why = trusted && whyForeign(headers, socket.localAddress, trusted);
    return why === undefined ? undefined : new Failure('forbidden', why);
  }
}
