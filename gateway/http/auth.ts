import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler, Router } from 'express';
import { Failure } from '../failure.ts';
import { ANYONE, type Caller } from '../keys/caller.ts';
import { requestContext } from './request-context.ts';

/** Where keys are looked up. */
export interface Keys {
  find(presented: readonly string[]): Caller | undefined;
}

/**
 * Second stage of every API route: whose key it is, and whether that key may come here; the body has not been read yet.
 * @param keys undefined: none are configured, and everybody who can connect is served
 * @throws Failure `unauthorized`, `forbidden`
 */
export function authenticate(keys: Keys | undefined): RequestHandler {
  return (req, res, next) => {
    const context = requestContext(res);
    const { keyHeaders = [] } = context.dialect;
    const presented = presentedKeys(req.headers, keyHeaders);
    const caller = keys === undefined ? ANYONE : keys.find(presented);
    if (caller === undefined) {
      res.setHeader('www-authenticate', 'Bearer');
      throw new Failure(
        'unauthorized',
        presented.length > 0
          ? 'the key of this request is not known here, or has been revoked'
          : `this request has no key; send it as Authorization: Bearer KEY or as ${keyHeaders[0] ?? 'api-key'}: KEY`,
      );
    }
    context.caller = caller;
    const path = req.baseUrl + req.path;
    if (!caller.mayCall(path))
      throw new Failure('forbidden', `the key ${caller.id} is not meant for ${path.slice(0, 200)}`);
    next();
  };
}

/**
 * Every form in which Azure's and OpenAI's clients send a key; Azure's inference SDKs send two at a time. Any scheme but
 * Bearer is taken as a bare key, which Microsoft's curl samples send.
 * @param further headers that carry a key on this route
 */
export function presentedKeys(headers: IncomingHttpHeaders, further: readonly string[] = []): string[] {
  const authorization = headers.authorization?.trim() ?? '';
  const bearer = /^bearer(?:\s+(.*))?$/i.exec(authorization);
  const candidates = [
    bearer === null ? authorization : (bearer[1] ?? ''),
    ...['api-key', ...further].map((name) => headers[name]).filter((key) => typeof key === 'string'),
  ].map((key) => key.trim());
  return [...new Set(candidates)].filter((key) => key !== '');
}

/**
 * Closed by default: a gateway with a route that nobody thought of does not start. The guard stands right behind the
 * request's context, before anything that answers.
 * @param open the paths that need no key
 * @throws Error that names a path whose route lets anybody pass
 */
export function requireKeys(router: Router, open: readonly string[], guard: RequestHandler): Router {
  for (const { route } of router.stack) {
    if (route === undefined || open.includes(route.path)) continue;
    if (route.stack[1]?.handle !== guard) throw new Error(`${route.path} asks for no key`);
  }
  return router;
}
