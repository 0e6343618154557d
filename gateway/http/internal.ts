import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { KINDS, type Kind } from '#contract/job';
import type { WorkerReport } from '#contract/registry';
import type { Audit } from '#runtime/audit';
import { droppedLogLines } from '#runtime/log';
import type { RedisView } from '#runtime/redis-watch';
import type { Durable } from '../durable/create-durable.ts';
import type { IssuerView } from '../identity/issuer-keys.ts';
import type { Outlook } from '../queue/queue-outlook.ts';
import type { SafetyStatus } from '../safety/content-safety.ts';
import type { UsageFilter, UsageRow } from '../usage/usage-report.ts';
import { internalAnswers } from './internal-answers.ts';
import { noForeign } from './internal-route.ts';
import { internalWebhooks } from './internal-webhooks.ts';

/** The part of `/status` that a replica knows without Redis. */
interface ReplicaStatus {
  readonly replica: string;
  readonly stage: string;
  readonly openRequests: number;
  /** by its purpose */
  readonly redis: Readonly<Record<string, RedisView>>;
  /** the content filter; null: there is none */
  readonly safety: SafetyStatus | null;
  readonly workers: readonly WorkerReport[];
  /** of tokens; empty without identity providers */
  readonly issuers: readonly IssuerView[];
}

/** The answer of `/status`. */
export interface GatewayStatus extends ReplicaStatus {
  readonly program: 'gateway';
  readonly pid: number;
  /** jobs of each model that no dispatcher has taken; null if Redis does not answer */
  readonly waiting: readonly ({ readonly model: string } & Readonly<Record<Kind, number | null>>)[];
  /** without those that Redis does not tell about */
  readonly queues: readonly ({ readonly model: string; readonly kind: Kind } & Outlook)[];
  /** outcomes of admission in this replica since its start, by the labels of `penstock_admission_total` */
  readonly admission: Readonly<Record<string, number>>;
  readonly logLinesDropped: number;
}

export interface InternalDeps {
  /** handlers before the routes */
  readonly first: readonly RequestHandler[];
  /** gives requests without a route their ids and their log line */
  readonly context: RequestHandler;
  readonly last: ErrorRequestHandler;
  readonly registry: Registry;
  /** this replica can take requests */
  readonly ready: () => boolean;
  readonly readyEngines: () => number;
  /** @returns undefined for an unknown pool @throws while Redis is away */
  readonly workersWanted: (pool: string) => Promise<number | undefined>;
  readonly models: readonly string[];
  /** jobs that no dispatcher has taken @throws while Redis is away */
  readonly depth: (model: string, kind: Kind) => Promise<number>;
  /** @throws while Redis is away */
  readonly outlook: (model: string, kind: Kind) => Promise<Outlook>;
  readonly admission: () => Promise<Readonly<Record<string, number>>>;
  readonly status: () => ReplicaStatus;
  /** names by which callers reach what is about keys, besides loopback names and the address of the connection */
  readonly hosts: readonly string[];
  readonly durable: Pick<Durable, 'kept' | 'webhooks'>;
  readonly audit: Audit;
  /** @throws while Redis is away */
  readonly usage: (filter: UsageFilter) => Promise<readonly UsageRow[]>;
}

/** The query of `/usage`. */
const UsageQuery = z.strictObject({
  key: z.string().optional(),
  model: z.string().optional(),
  since: z.iso.date('must be a day such as 2026-11-30').optional(),
});

/** Probes, status and metrics, on a port of their own that no client reaches. */
export function createInternalApp(deps: InternalDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  for (const handler of deps.first) app.use(handler);
  app.get(['/livez', '/startupz'], (_req, res) => {
    res.json({ status: 'ok' });
  });
  // Plain /readyz requires no engine; otherwise a pool could never scale up from zero.
  app.get('/readyz', (req, res) => {
    const engines = deps.readyEngines();
    const ok = deps.ready() && (req.query['workers'] !== '1' || engines > 0);
    res.status(ok ? 200 : 503).json({ status: ok ? 'ok' : 'not ready', readyEngines: engines });
  });
  // Called by KEDA's metrics-api scaler; without a number it uses its configured fallback.
  app.get('/scale/:pool', async (req, res) => {
    const { pool } = req.params;
    try {
      const workersWanted = await deps.workersWanted(pool);
      if (workersWanted === undefined) res.status(404).json({ error: `there is no pool '${pool}'; see GATEWAY_POOLS` });
      else res.json({ workersWanted });
    } catch {
      res.status(503).json({ error: 'the queue does not answer at the moment' });
    }
  });
  const depth = (model: string, kind: Kind): Promise<number | null> => deps.depth(model, kind).catch(() => null);
  app.get('/status', async (_req, res) => {
    const waiting = deps.models.map(async (model) => {
      const [text, image] = await Promise.all([depth(model, 'text'), depth(model, 'image')]);
      return { model, text, image };
    });
    const own = { program: 'gateway', pid: process.pid, logLinesDropped: droppedLogLines() } as const;
    const queues = deps.models.flatMap((model) =>
      KINDS.map(async (kind) => {
        const outlook = await deps.outlook(model, kind).catch(() => undefined);
        return outlook === undefined ? [] : [{ model, kind, ...outlook }];
      }),
    );
    const status: GatewayStatus = {
      ...own,
      waiting: await Promise.all(waiting),
      queues: (await Promise.all(queues)).flat(),
      admission: await deps.admission(),
      ...deps.status(),
    };
    res.json(status);
  });
  app.get('/metrics', async (_req, res) => {
    res.setHeader('content-type', deps.registry.contentType);
    res.send(await deps.registry.metrics());
  });
  // Probes and monitoring reach the routes above by any name. Those below are about keys.
  app.use(noForeign(deps.hosts));
  app.get('/usage', async (req, res) => {
    const query = UsageQuery.safeParse(req.query);
    if (!query.success) {
      const [issue] = query.error.issues;
      res.status(400).json({ error: `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim() });
      return;
    }
    try {
      res.json({ usage: await deps.usage(query.data) });
    } catch {
      res.status(503).json({ error: 'Redis does not answer at the moment' });
    }
  });
  app.use(internalAnswers(deps.durable.kept, deps.audit));
  app.use(internalWebhooks(deps.durable.webhooks, deps.audit));
  app.use(deps.context, ({ method, path }) => {
    throw new Failure('route_not_found', `there is no ${method} ${path.slice(0, 200)} here`);
  });
  app.use(deps.last);
  return app;
}
