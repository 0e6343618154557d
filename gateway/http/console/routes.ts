import type { RequestHandler, Response, Router } from 'express';
import { whyForeign } from '#runtime/foreign-request';
import type { Dialect } from '../../dialects/dialect.ts';
import { Failure } from '../../failure.ts';
import { requestContext, withContext, type ContextDeps } from '../request-context.ts';
import { consoleModels, consoleSession, consoleUsage, type ConsoleDataDeps } from './data.ts';
import type { LiveFeed } from './live-feed.ts';
import type { ConsolePage } from './page.ts';

const LIVE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  // nginx would otherwise collect the events.
  'x-accel-buffering': 'no',
} as const;

/** What only the console needs. */
export interface ConsoleParts extends Omit<ConsoleDataDeps, 'catalog' | 'policy'> {
  /** undefined: it is not built */
  readonly page: ConsolePage | undefined;
  readonly live: Pick<LiveFeed, 'open'>;
  /** names of a gateway without keys, besides those of loopback */
  readonly hosts: readonly string[];
}

export interface ConsoleDeps extends ContextDeps, ConsoleParts, ConsoleDataDeps {
  readonly authenticate: RequestHandler;
}

/** The files of the console, and its data, which need a key. */
export function addConsole(
  router: Router,
  openai: Dialect,
  only: (method: string) => RequestHandler,
  deps: ConsoleDeps,
): void {
  const dialect: Dialect = { ...openai, name: 'console' };
  const context = withContext(dialect, deps);
  const guarded = [context, deps.authenticate, ownPages(deps)];
  const routes = {
    '/console/session': consoleSession(deps),
    '/console/models': consoleModels(deps),
    '/console/usage': consoleUsage(deps),
    '/console/live': live(deps),
  };
  for (const [path, serve] of Object.entries(routes)) router.route(path).all(guarded).get(serve).all(only('GET'));
  if (deps.page === undefined) return;
  router.route('/console/assets/:file').all(context).get(deps.page.serveAsset).all(only('GET'));
}

/** No cache keeps these answers. Without keys, only pages of this gateway read them, whatever GATEWAY_CORS_ORIGINS says. */
function ownPages({ keyed, hosts }: ConsoleDeps): RequestHandler {
  return ({ headers, socket }, res, next) => {
    res.setHeader('cache-control', 'no-store');
    const why = keyed ? undefined : whyForeign(headers, socket.localAddress, { hosts, origins: [] });
    if (why !== undefined) throw new Failure('forbidden', why);
    next();
  };
}

/** `GET /console/live`: what an operator sees, as server-sent events. */
function live({ live: feed, authenticate }: ConsoleDeps): RequestHandler {
  return (req, res) => {
    const context = requestContext(res);
    const { id, mayOperate } = context.caller;
    if (!mayOperate)
      throw new Failure(
        'forbidden',
        `the key ${id} lacks the scope operate: penstock keys set --id ${id} --scope operate gives it; a token needs scopes: [operate] in its entry of the file of identity providers`,
      );
    if (req.method === 'HEAD') return void res.writeHead(200, LIVE_HEADERS).end();
    const forget = feed.open({
      keyId: id,
      isFull: () => res.writableNeedDrain,
      write: (text) => {
        if (!res.headersSent) res.writeHead(200, LIVE_HEADERS);
        if (!res.writableEnded) res.write(text);
      },
      end: () => void res.end(),
      cut: () => void res.destroy(),
      // The key as it is now: it may have been revoked since.
      isAllowed: async () => (await isStillKnown(authenticate, req, res)) && context.caller.mayOperate,
    });
    // It may have left while its token was checked.
    if (res.closed) forget();
    else res.once('close', forget);
  };
}

async function isStillKnown(authenticate: RequestHandler, req: Parameters<RequestHandler>[0], res: Response) {
  try {
    await authenticate(req, res, () => undefined);
    return true;
  } catch {
    return false;
  }
}
