import express, { type Express } from 'express';
import { allowOrigins } from './http/cors.ts';
import type { Intake } from './http/connection/intake.ts';
import { withContext } from './http/request-context.ts';
import { wrongPathPage } from './http/console/page.ts';
import { errorMiddleware } from './http/error-middleware.ts';
import { createRoutes, type RouteDeps } from './http/routes.ts';

export interface AppDeps extends RouteDeps {
  /** origins of pages that may call from a browser */
  readonly corsOrigins: readonly string[];
  readonly intake: Intake;
}

/** The public API: middleware in order, then routes, then the one error middleware. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((_req, res, next) => {
    if (deps.departure.stage !== 'serving') res.setHeader('connection', 'close');
    next();
  });
  for (const handler of deps.intake.handlers(withContext(deps.dialects.openai, deps))) app.use(handler);
  for (const handler of allowOrigins(deps.corsOrigins)) app.use(handler);
  app.use((req, _res, next) => {
    req.url = withoutDoubledSlashes(req.url);
    next();
  });
  app.use(createRoutes(deps));
  app.use(errorMiddleware(deps.dialects.openai, deps.metrics, deps.log, wrongPathPage));
  return app;
}

/** A base URL that ends in a slash doubles it in every path. A redirect would lose the body. */
function withoutDoubledSlashes(url: string): string {
  if (!url.startsWith('/')) return url;
  const [path = '', ...query] = url.split('?');
  return [path.replace(/\/{2,}/g, '/'), ...query].join('?');
}
