import { isIP } from 'node:net';
import type { Request, RequestHandler } from 'express';
import type { z } from 'zod';
import type { Act, Audit, Who } from '#runtime/audit';
import { whyForeign } from '#runtime/foreign-request';
import { Failure, toFailure } from '../failure.ts';

/** Header with the name of the user of the operating system who runs a command. */
const OPERATOR_HEADER = 'x-penstock-operator';

/** What a route of the internal port needs of a request. */
type Asked = Pick<Request, 'params' | 'query'>;

/** Answers with JSON: what `work` returns, or the failure that it throws. */
export function answered(work: (req: Asked) => Promise<object>): RequestHandler {
  return async (req, res) => {
    try {
      res.json(await work(req));
    } catch (cause) {
      const { status, message } = toFailure(cause);
      res.status(status).json({ error: message });
    }
  };
}

/**
 * Lets no page of another site pass, also one whose name leads to this machine: the port asks for no key.
 * @param hosts names by which callers reach the port, besides those of loopback and the address of the connection
 */
export function noForeign(hosts: readonly string[]): RequestHandler {
  return ({ headers, socket }, res, next) => {
    const error = whyForeign(headers, socket.localAddress, { hosts, origins: [] });
    if (error === undefined) next();
    else res.status(403).json({ error });
  };
}

/**
 * Does something administrative and records it, whatever becomes of it. Lets only this machine pass, because the port asks
 * for no key.
 */
export function administrative(audit: Audit, act: Act['act'], work: (req: Asked) => Promise<object>): RequestHandler {
  return async (req, res) => {
    const tell = (result: Act['result'], why?: string): void =>
      audit.record({ act, what: idOf(req.params), who: operatorOf(req), result, why });
    if (!isHere(req)) {
      tell('refused', 'not from this machine');
      res.status(403).json({ error: 'this works from this machine only: use kubectl exec or kubectl port-forward' });
      return;
    }
    try {
      const answer = await work(req);
      tell('done');
      res.json(answer);
    } catch (cause) {
      const { status, message, code } = toFailure(cause);
      tell(status < 500 ? 'refused' : 'failed', code);
      res.status(status).json({ error: message });
    }
  };
}

function isHere({ socket }: Request): boolean {
  const address = addressOf(socket);
  return isIP(address) !== 0 && (address === '::1' || address.startsWith('127.'));
}

/** The name is what the commands send. Nothing proves it: who reaches the port from this machine may send any. */
function operatorOf({ headers, socket }: Request): Who {
  const name = headers[OPERATOR_HEADER];
  return { kind: 'operator', name: typeof name === 'string' ? name : 'unknown', from: addressOf(socket) };
}

const addressOf = ({ remoteAddress = '' }: Request['socket']): string => remoteAddress.replace(/^::ffff:/, '');

export function idOf({ id }: Asked['params']): string {
  return typeof id === 'string' ? id : '';
}

/** @throws Failure `invalid_request` that names the field */
export function readQuery<Shape extends z.ZodType>(shape: Shape, query: Asked['query']): z.output<Shape> {
  const { data, error } = shape.safeParse(query);
  if (error === undefined) return data;
  const [issue] = error.issues;
  throw new Failure('invalid_request', `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim());
}
