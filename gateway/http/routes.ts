import { Router, type RequestHandler, type Response } from 'express';
import type { ModelCard } from '#contract/model-card';
import { Failure } from '../failure.ts';
import type { Idempotency } from '../queue/idempotency.ts';
import type { Dialect } from '../dialects/dialect.ts';
import type { Dialects, ServedRoute } from '../dialects/index.ts';
import type { StructureLimits } from '../intake/json-structure.ts';
import type { FactSources } from '../openapi/facts.ts';
import { absentRoutes, notHere } from './absent-routes.ts';
import { requireKeys } from './auth.ts';
import { addConsole, type ConsoleParts } from './console/routes.ts';
import { cancelByKey } from './cancel-by-key.ts';
import { chatHandler, type GenerateDeps } from './generate.ts';
import { docsAsset, docsPage } from './docs-page.ts';
import {
  cardOfRoute,
  deploymentByHeader,
  deploymentByPath,
  namelessDeployment,
  type DeploymentDeps,
} from './deployment.ts';
import { documents } from './documents.ts';
import { engineHealth, root, version } from './health.ts';
import { keptAnswerHandlers } from './kept-answers.ts';
import { readBody, type BodyLimits } from './read-body.ts';
import { getModel, listModels, modelInfo } from './models.ts';
import { runOnce } from './run-once.ts';
import { withContext, type ContextDeps } from './request-context.ts';

/** The paths that need no key. */
const OPEN_PATHS = ['/', '/health', '/ping', '/docs', '/docs/:file', '/console/assets/:file'];
/** Routes of Azure's APIs for tasks that no model here has. */
const EMBEDDINGS = ['/embeddings', '/images/embeddings', '/models/embeddings', '/models/images/embeddings'];

/** Every path that takes a POST. The API's document and gateway/README.md are generated from these rows, or compared. */
export const ROUTES: readonly ServedRoute[] = [
  { path: '/v1/chat/completions', dialect: 'openai', deployment: 'none', id: 'chat', tag: 'OpenAI' },
  { path: '/v1/completions', dialect: 'completions', deployment: 'none', id: 'complete', tag: 'OpenAI' },
  { path: '/v1/responses', dialect: 'responses', deployment: 'none', id: 'respond', tag: 'OpenAI' },
  { path: '/tokenize', dialect: 'tokenize', deployment: 'none', id: 'tokenize', tag: 'OpenAI' },
  { path: '/v1/messages', dialect: 'messages', deployment: 'none', id: 'message', tag: 'Anthropic' },
  {
    path: '/v1/messages/count_tokens',
    dialect: 'countTokens',
    deployment: 'none',
    id: 'countTokens',
    tag: 'Anthropic',
  },
  { path: '/score', dialect: 'score', deployment: 'header', deadline: 'score', id: 'score', tag: 'Azure ML' },
  // For Azure's inference SDKs, whose endpoint is the gateway or its /models.
  {
    path: '/chat/completions',
    dialect: 'inference',
    deployment: 'header',
    id: 'inference_chat',
    tag: 'Azure AI inference',
  },
  {
    path: '/completions',
    dialect: 'inferenceCompletions',
    deployment: 'header',
    id: 'inference_complete',
    tag: 'Azure AI inference',
  },
  {
    path: '/models/chat/completions',
    dialect: 'inference',
    deployment: 'header',
    id: 'models_chat',
    tag: 'Azure AI inference',
  },
  {
    path: '/models/completions',
    dialect: 'inferenceCompletions',
    deployment: 'header',
    id: 'models_complete',
    tag: 'Azure AI inference',
  },
  {
    path: '/openai/deployments/*deployment/chat/completions',
    dialect: 'azureOpenai',
    deployment: 'path',
    id: 'deployment_chat',
    tag: 'Azure OpenAI',
  },
  {
    path: '/openai/deployments/*deployment/completions',
    dialect: 'azureOpenaiCompletions',
    deployment: 'path',
    id: 'deployment_complete',
    tag: 'Azure OpenAI',
  },
  // Newer clients end their base URL in /openai/v1, older ones in /openai.
  {
    path: '/openai/v1/chat/completions',
    dialect: 'azureOpenai',
    deployment: 'none',
    id: 'azure_v1_chat',
    tag: 'Azure OpenAI',
  },
  {
    path: '/openai/v1/completions',
    dialect: 'azureOpenaiCompletions',
    deployment: 'none',
    id: 'azure_v1_complete',
    tag: 'Azure OpenAI',
  },
  {
    path: '/openai/v1/responses',
    dialect: 'azureOpenaiResponses',
    deployment: 'none',
    id: 'azure_v1_respond',
    tag: 'Azure OpenAI',
  },
  {
    path: '/openai/chat/completions',
    dialect: 'azureOpenai',
    deployment: 'none',
    id: 'azure_chat',
    tag: 'Azure OpenAI',
  },
  {
    path: '/openai/completions',
    dialect: 'azureOpenaiCompletions',
    deployment: 'none',
    id: 'azure_complete',
    tag: 'Azure OpenAI',
  },
  {
    path: '/openai/responses',
    dialect: 'azureOpenaiResponses',
    deployment: 'none',
    id: 'azure_respond',
    tag: 'Azure OpenAI',
  },
];

export interface RouteDeps extends ContextDeps, DeploymentDeps, FactSources, GenerateDeps {
  /** lets callers with a valid key pass */
  readonly authenticate: RequestHandler;
  readonly dialects: Dialects;
  readonly idempotency: Idempotency;
  readonly body: BodyLimits;
  readonly structure: StructureLimits;
  readonly requestTimeoutMs: number;
  readonly scoreTimeoutMs: number;
  readonly readyEngines: () => number;
  readonly console: ConsoleParts;
}

/** Maps paths to handlers, and does nothing else. */
export function createRoutes(deps: RouteDeps): Router {
  const { catalog, dialects } = deps;
  const router = Router({ caseSensitive: true });
  const guarded = (dialect: Dialect): RequestHandler[] => [withContext(dialect, deps), deps.authenticate];
  const openai = guarded(dialects.openai);
  const azureOpenai = guarded(dialects.azureOpenai);
  const inference = guarded(dialects.inference);
  const score = guarded(dialects.score);
  const byHeader = deploymentByHeader(deps);
  const byPath = deploymentByPath(deps);
  const absent = absentRoutes(catalog);
  const describe = documents(deps, {
    routes: ROUTES,
    dialects,
    absent: [
      ...absent.flatMap(({ paths, stage }) => paths.map((path) => ({ path, stage, dialect: dialects.openai }))),
      ...EMBEDDINGS.map((path) => ({ path, stage: 'noTask' as const, dialect: dialects.inference })),
    ],
  });

  router.options('/score', score, nothing);
  const choice = { header: [byHeader], path: [byPath], none: [] };
  const body = [readBody(deps.body), runOnce(deps.idempotency, deps.posts)];
  const cancel = cancelByKey(deps.idempotency, deps.posts);
  const card = (res: Response): ModelCard => cardOfRoute(deps, res);
  for (const { path, dialect: name, deployment, deadline } of ROUTES) {
    const dialect = dialects[name];
    if (dialect === undefined) continue;
    const timeoutMs = deadline === 'score' ? deps.scoreTimeoutMs : deps.requestTimeoutMs;
    const serve = chatHandler(deps, timeoutMs, dialect.needsCard === true ? card : undefined);
    router.route(path).all(guarded(dialect)).post(choice[deployment], body, serve).all(only('POST'));
    if (dialect.durable === true) router.route(`${path}/cancel`).all(guarded(dialect)).post(cancel).all(only('POST'));
  }

  for (const base of ['/v1', '/openai/v1', '/openai']) {
    const path = `${base}/responses/:response_id`;
    const first = guarded(dialects[base === '/v1' ? 'responses' : 'azureOpenaiResponses'] ?? dialects.openai);
    const { get, cancel, remove, inputItems } = keptAnswerHandlers(deps.kept, deps.body.memory, deps.audit);
    router.route(path).all(first).get(get).delete(remove).all(repeatedPath, only('GET, DELETE'));
    router.route(`${path}/cancel`).all(first).post(cancel).all(only('POST'));
    router.route(`${path}/input_items`).all(first).get(inputItems).all(only('GET'));
  }
  const [list, one] = [listModels(catalog), getModel(catalog)];
  router.route('/v1/models').all(openai).get(list).all(only('GET'));
  router.route('/v1/models/*id').all(openai).get(one).all(only('GET'));
  router.route('/swagger.json').all(score).get(describe.score).all(only('GET'));
  router.route('/openapi.json').all(openai).get(describe.all).all(only('GET'));
  const open = withContext(dialects.openai, deps);
  router.route('/docs').all(open).get(docsPage).all(only('GET'));
  router.route('/docs/:file').all(open).get(docsAsset).all(only('GET'));
  addConsole(router, dialects.openai, only, { ...deps, ...deps.console });
  router.route('/').get(root(deps, deps.console.page)).options(anything);
  const health = engineHealth(deps);
  router.route('/health').get(health).all(open, only('GET'));
  router.route('/ping').get(health).post(health).all(open, only('GET, POST'));
  router.route('/version').all(openai).get(version).all(only('GET'));
  for (const base of ['', '/models'])
    router.route(`${base}/info`).all(inference).get(byHeader, modelInfo(deps)).all(only('GET'));
  for (const base of ['/openai', '/openai/v1']) {
    router.route(`${base}/models`).all(azureOpenai).get(list).all(only('GET'));
    router.route(`${base}/models/*id`).all(azureOpenai).get(one).all(only('GET'));
  }

  // For all paths that no route above takes; the order matters.
  router.use(EMBEDDINGS, inference, noEmbeddings);
  // For OpenAI's clients whose base URL lacks its /v1.
  router.route('/models').all(openai).get(list).all(only('GET'));
  router.use('/models', inference, notThere);
  const embeddings = '/openai/deployments/*deployment/embeddings';
  router.route(embeddings).all(azureOpenai).post(byPath, noEmbeddings).all(only('POST'));
  router.use('/openai/v1/embeddings', azureOpenai, noEmbeddings);
  router.use('/v1/messages', guarded(dialects.messages), notThere);
  for (const { paths, azurePaths, refuse } of absent) {
    router.use(paths, openai, refuse);
    if (azurePaths.length > 0) router.use(azurePaths, azureOpenai, refuse);
  }
  router.use('/openai', azureOpenai, notThere);

  router.use(...openai, notThere);
  return requireKeys(router, OPEN_PATHS, deps.authenticate);
}

/** The answer of Azure's inference server to OPTIONS. */
const nothing: RequestHandler = (_req, res) => {
  res.setHeader('allow', 'POST, OPTIONS');
  res.status(200).end();
};

/** `OPTIONS *` asks about the entire server (RFC 9110 9.3.7). */
const anything: RequestHandler = (req, res) => {
  res.setHeader('allow', req.originalUrl === '*' ? 'GET, HEAD, POST, OPTIONS' : 'GET, HEAD, OPTIONS');
  res.status(204).end();
};

const notThere: RequestHandler = (req) => {
  throw namelessDeployment(req) ?? notHere(req);
};

const noEmbeddings: RequestHandler = () => {
  throw new Failure('task_not_supported', 'the models served here answer with text; embeddings are not served');
};

/** A base URL with `/responses` at its end repeats it in the path, where an id would be. */
const repeatedPath: RequestHandler = (req, _res, next) => {
  if (req.params['response_id'] === 'responses') throw notHere(req);
  next();
};

function only(method: string): RequestHandler {
  return (req, res) => {
    res.setHeader('allow', method);
    throw new Failure('method_not_allowed', `${req.path.slice(0, 200)} takes ${method} only`);
  };
}
