import express, { type Express } from 'express';
import { Failure } from '#contract/failure';
import { errorMiddleware } from './http/error-middleware.ts';
import { createRoutes, type RouteDeps } from './http/routes.ts';

/** `leaving`: served as ever, but each answer sends its connection away. `draining`: only what runs is finished. */
export type Stage = 'serving' | 'leaving' | 'draining';

export interface AppDeps extends RouteDeps {
  readonly stage: () => Stage;
}

/** The public API: middleware in order, then routes, then the one error middleware. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((_req, res, next) => {
    const stage = deps.stage();
    if (stage !== 'serving') res.setHeader('connection', 'close');
    if (stage === 'draining')
      throw new Failure('shutting_down', 'this gateway is shutting down; try again', { retryAfterSeconds: 1 });
    next();
  });
  app.use(createRoutes(deps));
  app.use(errorMiddleware(deps.openai, deps.metrics, deps.log));
  return app;
}
