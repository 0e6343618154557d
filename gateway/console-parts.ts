import type { Admission } from './queue/admission.ts';
import type { QueueOutlook } from './queue/queue-outlook.ts';
import type { RedisWatch } from '#runtime/redis-watch';
import { LiveFeed } from './http/console/live-feed.ts';
import { CONSOLE_FOLDER, readConsolePage } from './http/console/page.ts';
import type { RecentRequests } from './http/console/recent-requests.ts';
import type { ConsoleParts } from './http/console/routes.ts';
import type { Departure } from './http/departure.ts';
import { admissionCounts, type Metrics } from './metrics.ts';
import type { readSettings } from './read-settings.ts';
import type { Relay } from './relay/relay.ts';
import type { UsageBook } from './usage/usage-book.ts';
import type { WorkerRegistry } from './workers/registry.ts';

interface Parts {
  readonly departure: Pick<Departure, 'stage'>;
  readonly relay: Pick<Relay, 'openCount'>;
  readonly registry: Pick<WorkerRegistry, 'workers' | 'readyEngines'>;
  readonly admission: Pick<Admission, 'depth'>;
  readonly outlook: Pick<QueueOutlook, 'read'>;
  readonly metrics: Metrics;
  readonly watch: Pick<RedisWatch, 'views'>;
  readonly usage: Pick<UsageBook, 'rows'>;
  readonly recent: RecentRequests;
}

/** What the console takes of the gateway. */
export function consoleParts(
  {
    config,
    callers,
    models,
    replica,
  }: Pick<ReturnType<typeof readSettings>, 'config' | 'callers' | 'models' | 'replica'>,
  { departure, relay, registry, admission, outlook, metrics, watch, usage, recent }: Parts,
): ConsoleParts {
  const sources = {
    replica,
    models,
    stage: () => departure.stage,
    openRequests: () => relay.openCount,
    workers: () => registry.workers,
    depth: (...of: Parameters<Admission['depth']>) => admission.depth(...of),
    outlook: (...of: Parameters<Admission['depth']>) => outlook.read(...of, true),
    admission: () => admissionCounts(metrics),
    redis: () => watch.views,
  };
  return {
    page: readConsolePage(CONSOLE_FOLDER),
    live: new LiveFeed(sources, recent),
    hosts: config.GATEWAY_HOSTS,
    keyed: callers !== undefined,
    readyEngines: (model) => registry.readyEngines(model),
    usageRows: (filter) => usage.rows(filter),
    usageDays: config.GATEWAY_USAGE_DAYS,
  };
}
