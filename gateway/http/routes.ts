import { Router, type Request, type RequestHandler } from 'express';
import { Failure } from '#contract/failure';
import type { Catalog } from '#contract/model-card';
import type { Idempotency } from '../admission/idempotency.ts';
import type { Dialect } from '../dialects/dialect.ts';
import { scoreOpenApi } from '../dialects/score-openapi.ts';
import { absentRoutes } from './absent-routes.ts';
import type { Answer } from './answer.ts';
import { requireKeys } from './auth.ts';
import { chatHandler } from './chat-completions.ts';
import { readBody } from './json-body.ts';
import { getModel, listModels } from './models.ts';
import { runOnce } from './run-once.ts';
import { withContext, type ContextDeps } from './request-context.ts';

/** The paths that need no key. */
const OPEN_PATHS = ['/'];

export interface RouteDeps extends ContextDeps {
  /** lets the holders of keys pass */
  readonly authenticate: RequestHandler;
  readonly catalog: Catalog;
  readonly answer: Answer;
  readonly openai: Dialect;
  readonly completions: Dialect;
  readonly responses: Dialect;
  /** absent: `/tokenize` is switched off */
  readonly tokenize: Dialect | undefined;
  readonly score: Dialect;
  readonly idempotency: Idempotency;
  readonly bodyLimitBytes: number;
  readonly requestTimeoutMs: number;
  readonly scoreTimeoutMs: number;
}

/** Path → handler, nothing else. */
export function createRoutes(deps: RouteDeps): Router {
  const router = Router({ caseSensitive: true });
  const body = [readBody(deps.bodyLimitBytes), runOnce(deps.idempotency)];
  const openai = [withContext(deps.openai, deps), deps.authenticate];
  const completions = [withContext(deps.completions, deps), deps.authenticate];
  const responses = [withContext(deps.responses, deps), deps.authenticate];
  const score = [withContext(deps.score, deps), deps.authenticate];
  const document = scoreOpenApi(deps.catalog);

  router
    .route('/v1/chat/completions')
    .all(openai)
    .post(body, chatHandler(deps.answer, deps.requestTimeoutMs))
    .all(only('POST'));
  router
    .route('/v1/completions')
    .all(completions)
    .post(body, chatHandler(deps.answer, deps.requestTimeoutMs))
    .all(only('POST'));
  for (const path of ['/v1/responses', '/openai/v1/responses', '/openai/responses'])
    router.route(path).all(responses).post(body, chatHandler(deps.answer, deps.requestTimeoutMs)).all(only('POST'));
  if (deps.tokenize !== undefined)
    router
      .route('/tokenize')
      .all([withContext(deps.tokenize, deps), deps.authenticate])
      .post(body, chatHandler(deps.answer, deps.requestTimeoutMs))
      .all(only('POST'));
  router.route('/score').all(score).post(body, chatHandler(deps.answer, deps.scoreTimeoutMs)).all(only('POST'));
  router.route('/v1/models').all(openai).get(listModels(deps.catalog)).all(only('GET'));
  router.route('/v1/models/*id').all(openai).get(getModel(deps.catalog)).all(only('GET'));
  router
    .route('/swagger.json')
    .all(score)
    .get((_req, res) => {
      res.json(document);
    })
    .all(only('GET'));
  router.route('/').get(healthy);
  for (const { paths, refuse } of absentRoutes(deps.catalog)) router.use(paths, openai, refuse);
  router.use(...openai, (req: Request) => {
    throw new Failure('route_not_found', `there is no ${req.method} ${req.path.slice(0, 200)} here`);
  });
  return requireKeys(router, OPEN_PATHS, deps.authenticate);
}

/** What Azure's containers answer to a probe of `/`. */
const healthy: RequestHandler = (_req, res) => {
  res.json('healthy');
};

function only(method: string): RequestHandler {
  return (req, res) => {
    res.setHeader('allow', method);
    throw new Failure('method_not_allowed', `${req.path} takes ${method} only`);
  };
}
