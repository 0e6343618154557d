import { Router, type Request, type RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Idempotency } from '../queue/idempotency.ts';
import type { Dialect } from '../dialects/dialect.ts';
import type { StructureLimits } from '../intake/json-structure.ts';
import type { FactSources } from '../openapi/facts.ts';
import { absentRoutes, OPENAI_SEGMENTS } from './absent-routes.ts';
import { requireKeys } from './auth.ts';
import { chatHandler, type GenerateDeps } from './generate.ts';
import { docsAsset, docsPage } from './docs-page.ts';
import { cardOfRoute, deploymentByHeader, deploymentByPath, type DeploymentDeps } from './deployment.ts';
import { documents } from './documents.ts';
import { engineHealth, version } from './health.ts';
import { readBody, type BodyLimits } from './read-body.ts';
import { getModel, listModels, modelInfo } from './models.ts';
import { runOnce } from './run-once.ts';
import { UNREAD_BY_NOBODY_MS, withContext, type ContextDeps } from './request-context.ts';
import { cutUnread } from './connection/unread-answer.ts';

/** The paths that need no key. */
const OPEN_PATHS = ['/', '/health', '/ping'];
/** Routes of Azure's APIs for which no model here has the task. */
const EMBEDDINGS = ['/embeddings', '/images/embeddings', '/models/embeddings', '/models/images/embeddings'];

/** Paths of OpenAI's API as clients ask for them whose base URL lacks its end. */
const OF_OPENAI = new RegExp(`^/(?:responses|models|${OPENAI_SEGMENTS.join('|')})(?:/|$)`);

/** The API shape of each group of routes. */
interface Dialects {
  readonly openai: Dialect;
  readonly completions: Dialect;
  readonly responses: Dialect;
  /** absent: `/tokenize` is switched off */
  readonly tokenize: Dialect | undefined;
  readonly score: Dialect;
  readonly inference: Dialect;
  readonly inferenceCompletions: Dialect;
  readonly azureOpenai: Dialect;
  readonly azureOpenaiCompletions: Dialect;
  readonly azureOpenaiResponses: Dialect;
}
export interface RouteDeps extends ContextDeps, DeploymentDeps, FactSources, GenerateDeps {
  /** lets the holders of keys pass */
  readonly authenticate: RequestHandler;
  readonly dialects: Dialects;
  readonly idempotency: Idempotency;
  readonly body: BodyLimits;
  readonly structure: StructureLimits;
  readonly requestTimeoutMs: number;
  readonly scoreTimeoutMs: number;
  readonly readyEngines: () => number;
}

/** Path → handler, nothing else. */
export function createRoutes(deps: RouteDeps): Router {
  const { catalog, dialects } = deps;
  const router = Router({ caseSensitive: true });
  const body = [readBody(deps.body), runOnce(deps.idempotency)];
  const guarded = (dialect: Dialect): RequestHandler[] => [withContext(dialect, deps), deps.authenticate];
  const openai = guarded(dialects.openai);
  const azureOpenai = guarded(dialects.azureOpenai);
  const inference = guarded(dialects.inference);
  const score = guarded(dialects.score);
  const byHeader = deploymentByHeader(deps);
  const byPath = deploymentByPath(deps);
  const chat = chatHandler(deps, deps.requestTimeoutMs);
  const absent = absentRoutes(catalog);
  const describe = documents(deps, [
    ...absent.flatMap(({ paths, stage }) => paths.map((path) => ({ path, stage, dialect: dialects.openai }))),
    ...EMBEDDINGS.map((path) => ({ path, stage: 'noTask' as const, dialect: dialects.inference })),
  ]);

  router.route('/v1/chat/completions').all(openai).post(body, chat).all(only('POST'));
  router.route('/v1/completions').all(guarded(dialects.completions)).post(body, chat).all(only('POST'));
  router.route('/v1/models').all(openai).get(listModels(catalog)).all(only('GET'));
  router.route('/v1/models/*id').all(openai).get(getModel(catalog)).all(only('GET'));
  router.route('/v1/responses').all(guarded(dialects.responses)).post(body, chat).all(only('POST'));
  if (dialects.tokenize !== undefined)
    router.route('/tokenize').all(guarded(dialects.tokenize)).post(body, chat).all(only('POST'));

  router
    .route('/score')
    .all(score)
    .post(
      byHeader,
      body,
      chatHandler(deps, deps.scoreTimeoutMs, (res) => cardOfRoute(deps, res)),
    )
    .options(nothing)
    .all(only('POST'));
  router.route('/swagger.json').all(score).get(describe.score).all(only('GET'));
  router.route('/openapi.json').all(openai).get(describe.all).all(only('GET'));
  router.route('/docs').all(openai).get(docsPage).all(only('GET'));
  router.route('/docs/:file').all(openai).get(docsAsset).all(only('GET'));
  router.route('/').get(healthy(deps)).options(anything);
  const health = engineHealth(deps);
  const open = withContext(dialects.openai, deps);
  router.route('/health').get(health).all(open, only('GET'));
  router.route('/ping').get(health).post(health).all(open, only('GET, POST'));
  router.route('/version').all(openai).get(version).all(only('GET'));

  // Azure's inference SDKs, with the gateway or its /models as their endpoint.
  for (const base of ['', '/models']) {
    router.route(`${base}/chat/completions`).all(inference).post(byHeader, body, chat).all(only('POST'));
    router
      .route(`${base}/completions`)
      .all(guarded(dialects.inferenceCompletions))
      .post(byHeader, body, chat)
      .all(only('POST'));
    router.route(`${base}/info`).all(inference).get(byHeader, modelInfo(deps)).all(only('GET'));
  }
  router.use(EMBEDDINGS, inference, noEmbeddings);
  // OpenAI's clients whose base URL lacks its /v1.
  router.route('/models').all(openai).get(listModels(catalog)).all(only('GET'));
  router.use('/models', inference, notThere);

  const ofDeployment = '/openai/deployments/*deployment';
  router.route(`${ofDeployment}/chat/completions`).all(azureOpenai).post(byPath, body, chat).all(only('POST'));
  router
    .route(`${ofDeployment}/completions`)
    .all(guarded(dialects.azureOpenaiCompletions))
    .post(byPath, body, chat)
    .all(only('POST'));
  router.route(`${ofDeployment}/embeddings`).all(azureOpenai).post(byPath, noEmbeddings).all(only('POST'));
  router.use('/openai/v1/embeddings', azureOpenai, noEmbeddings);
  // Newer clients end their base URL in /openai/v1, older ones in /openai.
  for (const base of ['/openai', '/openai/v1']) {
    router.route(`${base}/chat/completions`).all(azureOpenai).post(body, chat).all(only('POST'));
    router
      .route(`${base}/completions`)
      .all(guarded(dialects.azureOpenaiCompletions))
      .post(body, chat)
      .all(only('POST'));
    router.route(`${base}/responses`).all(guarded(dialects.azureOpenaiResponses)).post(body, chat).all(only('POST'));
    router.route(`${base}/models`).all(azureOpenai).get(listModels(catalog)).all(only('GET'));
    router.route(`${base}/models/*id`).all(azureOpenai).get(getModel(catalog)).all(only('GET'));
  }
  for (const { paths, azurePaths, refuse } of absent) {
    router.use(paths, openai, refuse);
    if (azurePaths.length > 0) router.use(azurePaths, azureOpenai, refuse);
  }
  router.use('/openai', azureOpenai, notThere);

  router.use(...openai, notThere);
  return requireKeys(router, OPEN_PATHS, deps.authenticate);
}

/** What Azure's containers answer to a probe of `/`. */
function healthy({ departure }: RouteDeps): RequestHandler {
  return (_req, res) => {
    departure.turnAway();
    cutUnread(res, () => UNREAD_BY_NOBODY_MS);
    res.json('healthy');
  };
}

/** What Azure's inference server answers to OPTIONS. */
const nothing: RequestHandler = (_req, res) => {
  res.setHeader('allow', 'POST, OPTIONS');
  res.status(200).end();
};

/** `OPTIONS *` asks about the server as a whole (RFC 9110 9.3.7). */
const anything: RequestHandler = (req, res) => {
  res.setHeader('allow', req.originalUrl === '*' ? 'GET, HEAD, POST, OPTIONS' : 'GET, HEAD, OPTIONS');
  res.status(204).end();
};

const notThere: RequestHandler = (req: Request) => {
  const path = `${req.baseUrl}${req.path}`.slice(0, 200);
  const beneath = OF_OPENAI.test(path) ? `; OpenAI's routes are under /v1: end the base URL of your client in /v1` : '';
  throw new Failure('route_not_found', `there is no ${req.method} ${path} here${beneath}`);
};

const noEmbeddings: RequestHandler = () => {
  throw new Failure('task_not_supported', 'the models served here answer with text; embeddings are not served');
};

function only(method: string): RequestHandler {
  return (req, res) => {
    res.setHeader('allow', method);
    throw new Failure('method_not_allowed', `${req.path.slice(0, 200)} takes ${method} only`);
  };
}
