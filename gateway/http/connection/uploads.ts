import type { Socket } from 'node:net';
import type { Request, RequestHandler, Response } from 'express';
import type { Failure } from '../../failure.ts';
import type { Clock } from '#runtime/clock';
import { closeOrderly, isClosing } from './orderly-close.ts';

interface Upload {
  readonly req: Request;
  readonly res: Response;
  readonly since: number;
}
/** Answers with a failure, in the dialect of the request. */
export type Refuse = (failure: Failure, req: Request, res: Response) => void;

/**
 * The requests whose body has not been read to its end. Any answer to one of them closes its connection. The rest of
 * the body is not needed, and would otherwise be read as the next request.
 */
export class Uploads {
  readonly #open = new Map<Socket, Upload>();
  readonly #clock: Clock;
  readonly #refuse: Refuse;

  constructor(clock: Clock, refuse: Refuse) {
    this.#clock = clock;
    this.#refuse = refuse;
  }

  /** Must be the first of all handlers. */
  readonly watch: RequestHandler = (req, res, next) => {
    const { socket } = req;
    if (isClosing(socket)) {
      socket.destroy();
      return;
    }
    if (!hasBody(req)) {
      next();
      return;
    }
    const { shouldKeepAlive } = res;
    res.shouldKeepAlive = false;
    closeOrderly(req);
    this.#open.set(socket, { req, res, since: this.#clock() });
    const forget = (): void => {
      if (this.#open.get(socket)?.req === req) this.#open.delete(socket);
    };
    req.once('end', () => {
      res.shouldKeepAlive = shouldKeepAlive;
      forget();
    });
    res.once('close', forget);
    next();
  };

  get count(): number {
    return this.#open.size;
  }

  has(socket: Socket): boolean {
    return this.#open.has(socket);
  }

  /** @returns false if no request of this connection waits for its body */
  refuse(socket: Socket, failure: Failure): boolean {
    const upload = this.#open.get(socket);
    if (upload === undefined) return false;
    if (upload.res.headersSent) socket.destroy();
    else this.#refuse(failure, upload.req, upload.res);
    return true;
  }

  /** @param ageMs requests that are younger are not refused */
  refuseOlderThan(ageMs: number, failure: Failure): void {
    const until = this.#clock() - ageMs;
    for (const [socket, { since }] of this.#open) if (since <= until) this.refuse(socket, failure);
  }
}

export function hasBody({ headers }: Pick<Request, 'headers'>): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
