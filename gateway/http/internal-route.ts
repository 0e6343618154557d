import { isIP } from 'node:net';
import type { RequestHandler } from 'express';
import type { z } from 'zod';
import { whyForeign } from '#runtime/foreign-request';
import { Failure, toFailure } from '../failure.ts';

/** What a route of the internal port needs of a request. */
type Asked = Pick<Parameters<RequestHandler>[0], 'params' | 'query'>;

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

/** Lets only this machine pass, because the port asks for no key. */
export const onlyHere: RequestHandler = (req, res, next) => {
  const address = (req.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  if (isIP(address) !== 0 && (address === '::1' || address.startsWith('127.'))) next();
  else res.status(403).json({ error: 'this works from this machine only: use kubectl exec or kubectl port-forward' });
};

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
