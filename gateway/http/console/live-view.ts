import type { LiveEngine, LiveView } from '#contract/console';
import { KINDS, type Kind } from '#contract/job';
import type { WorkerReport } from '#contract/registry';
import type { RedisView } from '#runtime/redis-watch';
import type { Outlook } from '../../queue/queue-outlook.ts';

/** Engines and queues of a view: a hostile worker could report very many. */
const MOST_ENGINES = 1_000;

/** Where the facts of the live view are. */
export interface LiveSources {
  readonly replica: string;
  readonly stage: () => string;
  readonly openRequests: () => number;
  readonly workers: () => readonly WorkerReport[];
  readonly models: readonly string[];
  /** jobs that no dispatcher has taken @throws while Redis is away */
  readonly depth: (model: string, kind: Kind) => Promise<number>;
  /** @throws while Redis is away */
  readonly outlook: (model: string, kind: Kind) => Promise<Outlook>;
  readonly admission: () => Promise<Readonly<Record<string, number>>>;
  readonly redis: () => Readonly<Record<string, RedisView>>;
}

type LiveQueues = LiveView['queues'];

/** What does not need Redis is true now, whatever the state of Redis. */
export async function liveView(sources: LiveSources, queues: LiveQueues): Promise<Omit<LiveView, 'requests'>> {
  const { replica, stage, openRequests, workers, admission, redis } = sources;
  return {
    replica,
    stage: stage(),
    openRequests: openRequests(),
    engines: workers().flatMap(enginesOf).slice(0, MOST_ENGINES),
    queues,
    admission: await admission(),
    redis: Object.entries(redis()).map(([name, { state, latencyMs }]) => ({ name, state, latencyMs })),
  };
}

/** Reads the queues of all models. What Redis does not tell is null. */
export function liveQueues({ models, depth, outlook }: LiveSources): Promise<LiveQueues> {
  return Promise.all(
    models.flatMap((model) =>
      KINDS.map(async (kind) => {
        const [waiting, drains] = await Promise.all([
          depth(model, kind).catch(() => null),
          outlook(model, kind).catch(() => undefined),
        ]);
        const { keys, ...rest } = drains ?? UNKNOWN;
        return { model, kind, waiting, ...rest, keys: [...keys] };
      }),
    ),
  );
}

const UNKNOWN = { expectedWaitMs: null, requestsPerSecond: null, bookings: 0, keys: [] };

/** The queues while Redis is silent. */
export function unknownQueues({ models }: LiveSources): LiveQueues {
  return models.flatMap((model) => KINDS.map((kind) => ({ model, kind, waiting: null, ...UNKNOWN })));
}

function enginesOf({ node, pool, draining, engines }: WorkerReport): LiveEngine[] {
  return engines.map(({ id, model, state, inFlight, slots, gpus, restarts, stage, lastFailure }) => ({
    id,
    node,
    pool,
    model,
    inFlight,
    slots,
    state: draining && state === 'ready' ? 'draining' : state,
    gpus: gpus ?? [],
    restarts: restarts ?? null,
    stage: stage ?? null,
    lastFailure: lastFailure ?? null,
  }));
}
