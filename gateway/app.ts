import express, { type Express } from 'express';
import { Failure } from '#contract/failure';
import type { Departure } from './departure.ts';
import { errorMiddleware } from './http/error-middleware.ts';
import { createRoutes, type RouteDeps } from './http/routes.ts';

export interface AppDeps extends RouteDeps {
  readonly departure: Departure;
}

/** The public API: middleware in order, then routes, then the one error middleware. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((req, res, next) => {
    if (deps.departure.stage !== 'serving') res.setHeader('connection', 'close');
    if (deps.departure.refuses(req.socket))
      throw new Failure('shutting_down', 'this gateway is shutting down; try again', { retryAfterSeconds: 1 });
    next();
  });
  app.use(createRoutes(deps));
  app.use(errorMiddleware(deps.openai, deps.metrics, deps.log));
  return app;
}
