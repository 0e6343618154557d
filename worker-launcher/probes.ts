import { createServer, type ServerResponse } from 'node:http';
import type { EngineReport } from '#contract/registry';
import { whyForeign } from '#runtime/foreign-request';
import type { RedisView } from '#runtime/redis-watch';
import type { Outlier } from './engine/outlier-case.ts';

/** What `/status` answers. */
export interface LauncherStatus {
  readonly launcher: { readonly pid: number; readonly node: string; readonly pool: string; readonly draining: boolean };
  readonly model: string;
  readonly engine: 'vllm' | 'simulator';
  /** by purpose */
  readonly redis: Readonly<Record<string, RedisView>>;
  readonly logLinesDropped: number;
  readonly dispatchers: readonly { readonly pid: number | null; readonly incarnation: string | null }[];
  readonly engines: readonly (Pick<EngineReport, 'id' | 'model' | 'pid' | 'state' | 'slots' | 'inFlight'> & {
    /** on loopback; null: it listens on its socket */
    readonly port: number | null;
    /** unix socket; null: it listens on its port */
    readonly socket: string | null;
    /** UUIDs */
    readonly gpus: readonly string[];
    readonly restarts: number;
    /** cause of the last failure and what to do, in a sentence */
    readonly lastFailure: string | null;
    /** cause of the last failure, in a word */
    readonly lastCause: string | null;
    /** progress of its start, for people; null once it is ready */
    readonly stage: string | null;
    /** why it is out of dispatch, with figures, if it does worse than its siblings; null: it does not */
    readonly outlier: Outlier | null;
    /** whether it was ready at least once */
    readonly wasReady: boolean;
  })[];
}

export interface InternalServer {
  /** port that it listens on; the system chose it if 0 was given */
  readonly port: number;
  close(): Promise<void>;
}

export interface InternalDeps {
  readonly status: () => LauncherStatus;
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  /** a chosen part of the engines' own metrics, in the same form */
  readonly engineMetrics: () => string;
  /** allowed host names of this port, besides loopback names and the address of the connection */
  readonly hosts: readonly string[];
}

/** Timeout for a complete request, in milliseconds; these requests have no body. */
const REQUEST_MS = 15_000;

/**
 * Probes, status and metrics, for the operator's network only.
 * `/livez`: the launcher itself, never an engine. `/startupz`: every engine was ready once, or failed while another one
 * serves, because a restart of this process would end the answers of the other. `/readyz`: one engine is ready, a
 * dispatcher pulls for it, Redis answers, and the launcher does not drain.
 * @throws Error in one sentence when the port is in use
 */
export async function startInternalServer(host: string, port: number, deps: InternalDeps): Promise<InternalServer> {
  const routes: Record<string, (res: ServerResponse) => void | Promise<void>> = {
    '/livez': (res) => send(res, 200, 'alive'),
    '/startupz': (res) => {
      const { engines } = deps.status();
      const isDecided = engines.every(({ wasReady, lastFailure }) => wasReady || lastFailure !== null);
      const started = isDecided && engines.some(({ wasReady }) => wasReady);
      send(res, started ? 200 : 503, started ? 'started' : 'engines are starting');
    },
    '/readyz': (res) => {
      const problem = notReady(deps.status());
      send(res, problem === undefined ? 200 : 503, problem ?? 'ready');
    },
    '/status': (res) => send(res, 200, `${JSON.stringify(deps.status(), null, 2)}\n`, 'application/json'),
    '/metrics': async (res) => {
      const page = `${await deps.metrics.metrics()}${deps.engineMetrics()}`;
      send(res, 200, page, deps.metrics.contentType);
    },
  };
  const server = createServer({ headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS }, (req, res) => {
    const path = (req.url ?? '/').split('?')[0] ?? '/';
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    const foreign = whyForeign(req.headers, req.socket.localAddress, { hosts: deps.hosts, origins: [] });
    if (foreign !== undefined) refuse(res, 403, 'forbidden', foreign);
    else if (route === undefined)
      refuse(res, 404, 'route_not_found', `no route for ${req.method ?? ''} ${path.slice(0, 200)}`);
    else if (req.method !== 'GET' && req.method !== 'HEAD')
      refuse(res, 405, 'method_not_allowed', 'only GET is allowed');
    else void Promise.resolve(route(res)).catch(() => res.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      const where = `port ${port} of ${host} (WORKER_INTERNAL_PORT)`;
      reject(new Error(taken ? `${where} is in use` : `${where} cannot be used: ${error.message}`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function notReady({ launcher, engines, dispatchers, redis }: LauncherStatus): string | undefined {
  if (launcher.draining) return 'draining';
  for (const [name, { state }] of Object.entries(redis))
    if (state === 'away' || state === 'silent') return `the Redis of ${name} does not answer`;
  if (!dispatchers.some(({ incarnation }) => incarnation !== null)) return 'no dispatcher is ready';
  return engines.some(({ state }) => state === 'ready') ? undefined : 'no engine is ready';
}

function refuse(res: ServerResponse, status: number, code: string, message: string): void {
  send(res, status, JSON.stringify({ error: { code, message } }), 'application/json');
}

function send(res: ServerResponse, status: number, body: string, type = 'text/plain'): void {
  const headers = {
    'content-type': type.includes('charset') ? type : `${type}; charset=utf-8`,
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  };
  res.writeHead(status, headers).end(body);
}
