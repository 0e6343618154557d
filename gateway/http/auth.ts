import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler, Router } from 'express';
import { Failure, isFailure } from '../failure.ts';
import type { Bearer } from '../identity/bearer.ts';
import { ANYONE, type Caller } from '../keys/caller.ts';
import { requestContext, type RequestContext } from './request-context.ts';

/** Who callers are. */
export interface Callers {
  /** absent: there is no key file */
  readonly keys: { find(presented: readonly string[]): Caller | undefined } | undefined;
  /** absent: there are no identity providers */
  readonly tokens: { bearerOf(token: string): Promise<Bearer> } | undefined;
}

/** The form of a JSON Web Token. Clients of Azure send one if they have a credential of Entra ID and no key. */
const TOKEN = /^eyJ[\w-]*\.[\w-]*\.[\w-]*$/;
/** Characters that RFC 6750 excludes from a description: names of claims may have them. */
const UNQUOTABLE = /[^ !#-[\]-~]/g;
const TOKEN_HINT = '; it is a token, such as one of Entra ID: configure the client with a key';

/**
 * Second stage of every API route: finds the caller by its key or token, and checks that it may call this route. The body
 * has not been read yet.
 * @param callers undefined: no keys are configured, and every caller that can connect is served
 * @throws Failure `unauthorized`, `forbidden`, `issuer_unavailable`
 */
export function authenticate(callers: Callers | undefined): RequestHandler {
  return async (req, res, next) => {
    const context = requestContext(res);
    const { keyHeaders = [] } = context.dialect;
    const presented = presentedKeys(req.headers, keyHeaders);
    const challenge = (value: string): unknown => res.setHeader('www-authenticate', value);
    const caller = callers === undefined ? ANYONE : byKey(callers, presented);
    context.caller = caller ?? (await byToken(callers?.tokens, presented, context, challenge));
    const path = req.baseUrl + req.path;
    if (!context.caller.mayCall(path))
      throw new Failure('forbidden', `the key ${context.caller.id} does not allow ${path.slice(0, 200)}`);
    next();
  };
}

/** A token never counts as a key if there are identity providers. */
function byKey({ keys, tokens }: Callers, presented: readonly string[]): Caller | undefined {
  return keys?.find(tokens === undefined ? presented : presented.filter((one) => !TOKEN.test(one)));
}

/**
 * @param challenge sets the header `www-authenticate` (RFC 6750, section 3)
 * @throws Failure about the first token, or about the missing or wrong key
 */
async function byToken(
  verifier: Callers['tokens'],
  presented: readonly string[],
  { dialect, fields }: RequestContext,
  challenge: (value: string) => unknown,
): Promise<Caller> {
  const tokens = presented.filter((one) => TOKEN.test(one));
  let first: unknown;
  for (const token of verifier === undefined ? [] : tokens) {
    const bearer = await verifier?.bearerOf(token).catch((cause: unknown) => void (first ??= cause));
    if (bearer?.isAllowed === true) return bearer.caller;
    if (bearer === undefined || first !== undefined) continue;
    fields['keyId'] = bearer.id;
    first = new Failure('forbidden', bearer.message);
  }
  if (isFailure(first) && first.code === 'forbidden') challenge('Bearer error="insufficient_scope"');
  else if (isFailure(first) && first.code === 'unauthorized')
    challenge(`Bearer error="invalid_token", error_description="${first.message.replace(UNQUOTABLE, '')}"`);
  if (first !== undefined) throw first;
  challenge('Bearer');
  const header = dialect.keyHeaders?.[0] ?? 'api-key';
  throw new Failure(
    'unauthorized',
    presented.length > 0
      ? `the key of this request is not known here, or has been revoked${tokens.length > 0 ? TOKEN_HINT : ''}`
      : `this request has no key; send it as Authorization: Bearer KEY or as ${header}: KEY`,
  );
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
