import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import { Exchange } from '../http/exchange.ts';
import { createRoutes, type RouteTable } from './routes.ts';
import type { Simulator } from '../simulator.ts';

/** Paths below which an API key is required; all others need none, as in vLLM. */
const GUARDED = ['/v1', '/v2', '/inference', '/cohere'];
const CORS_METHODS = 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY';
const TRACKED = new Set([
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/invocations',
  '/tokenize',
  '/detokenize',
]);

/** The HTTP server in front of a simulator; it does not listen yet. */
export function createHttpServer(simulator: Simulator): Server {
  const routes = createRoutes(simulator);
  const server = createServer({ noDelay: true }, (req, res) => {
    void answer(req, res, simulator, routes);
  });
  server.keepAliveTimeout = simulator.settings.idleConnectionSeconds * 1000;
  server.requestTimeout = 0;
  return server;
}

async function answer(
  req: IncomingMessage,
  res: ServerResponse,
  simulator: Simulator,
  routes: RouteTable,
): Promise<void> {
  const { settings, load } = simulator;
  const exchange = new Exchange(req, res, settings.requestIdHeaders);
  const method = req.method ?? 'GET';
  const handlers = routes.get(exchange.path);
  count(exchange, method, handlers === undefined ? 'none' : exchange.path, simulator);
  if (!isAuthorized(exchange, method, settings.apiKeys)) {
    exchange.bare(401, JSON.stringify({ error: 'Unauthorized' }));
    return;
  }
  if (method === 'OPTIONS' && exchange.header('access-control-request-method') !== undefined) {
    const cors = { 'access-control-allow-methods': CORS_METHODS, 'access-control-max-age': '600' };
    exchange.text(400, 'text/plain; charset=utf-8', 'Disallowed CORS origin', cors);
    return;
  }
  const handler = handlers?.[method];
  if (handlers === undefined) {
    exchange.json(404, { detail: 'Not Found' });
    return;
  }
  if (handler === undefined) {
    exchange.json(405, { detail: 'Method Not Allowed' }, { allow: Object.keys(handlers).join(', ') });
    return;
  }
  const isTracked = TRACKED.has(exchange.path);
  if (isTracked) {
    load.count += 1;
    res.once('close', () => {
      load.count -= 1;
    });
  }
  try {
    if (isTracked && simulator.faults.isMute) return;
    if (isTracked) simulator.faults.onRequest();
    await handler(exchange, simulator);
  } catch (error) {
    exchange.error(error);
  }
}

function count(exchange: Exchange, method: string, handler: string, { httpMetrics }: Simulator): void {
  const { req, res } = exchange;
  const startedAt = performance.now();
  const bytesOf = (value: unknown): number => Number(value ?? 0) || 0;
  res.once('close', () => {
    const sizes = [bytesOf(req.headers['content-length']), bytesOf(res.getHeader('content-length'))] as const;
    httpMetrics.answered(handler, method, res.statusCode, ...sizes, performance.now() - startedAt);
  });
}

function isAuthorized(exchange: Exchange, method: string, keys: readonly string[]): boolean {
  if (keys.length === 0 || method === 'OPTIONS' || !GUARDED.some((path) => exchange.path.startsWith(path))) return true;
  const given = Buffer.from(exchange.header('authorization') ?? '');
  return keys.some((key) => {
    const expected = Buffer.from(`Bearer ${key}`);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
