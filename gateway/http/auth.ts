import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler, Router } from 'express';
import { Failure } from '../failure.ts';
import { ANYONE, type Caller } from '../keys/caller.ts';
import { requestContext } from './request-context.ts';

/** Looks up keys. */
export interface Keys {
  find(presented: readonly string[]): Caller | undefined;
}

/** The form of a JSON Web Token. Clients of Azure send one if they have a credential of Entra ID and no key. */
const TOKEN = /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/;
const TOKEN_HINT = '; it is a token, such as one of Entra ID: configure the client with a key';

/**
 * Second stage of every API route: finds the caller's key and checks that it allows this route. The body has not been
 * read yet.
 * @param keys undefined: no keys are configured, and every caller that can connect is served
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
          ? `the key of this request is not known here, or has been revoked${presented.some((key) => TOKEN.test(key)) ? TOKEN_HINT : ''}`
          : `this request has no key; send it as Authorization: Bearer KEY or as ${keyHeaders[0] ?? 'api-key'}: KEY`,
      );
    }
    context.caller = caller;
    const path = req.baseUrl + req.path;
    if (!caller.mayCall(path))
      throw new Failure('forbidden', `the key ${caller.id} does not allow ${path.slice(0, 200)}`);
    next();
  };
}

/**
 * Every form in which Azure's and OpenAI's clients send a key; Azure's inference SDKs send two at a time. Any scheme
 * except Bearer is read as a bare key, which Microsoft's curl samples send.
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
 * Makes sure that a gateway with an unguarded route does not start. The guard comes right after the request's context,
 * before any handler that answers.
 * @param open the paths that need no key
 * @throws Error that names a path whose route has no guard
 */
export function requireKeys(router: Router, open: readonly string[], guard: RequestHandler): Router {
  for (const { route } of router.stack) {
    if (route === undefined || open.includes(route.path)) continue;
    if (route.stack[1]?.handle !== guard) throw new Error(`${route.path} requires no key`);
  }
  return router;
}
