import express, { type Express } from 'express';
import { Failure } from '#contract/failure';
import { errorMiddleware } from './http/error-middleware.ts';
import { createRoutes, type RouteDeps } from './http/routes.ts';

export interface AppDeps extends RouteDeps {
  /** the process is about to end: running requests finish, new ones go elsewhere */
  readonly draining: () => boolean;
}

/** The public API: middleware in order, then routes, then the one error middleware. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((_req, res, next) => {
    if (!deps.draining()) {
      next();
      return;
    }
    res.setHeader('connection', 'close');
    throw new Failure('shutting_down', 'this gateway is shutting down; try again', { retryAfterSeconds: 1 });
  });
  app.use(createRoutes(deps));
  app.use(errorMiddleware(deps.openai, deps.metrics, deps.log));
  return app;
}
