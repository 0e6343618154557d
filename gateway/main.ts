import type { RequestListener, Server } from 'node:http';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { monotonic as clock } from '#runtime/clock';
import { collectLessOften } from '#runtime/collector';
import { endWith, within } from '#runtime/lifecycle';
import { refusedBy } from '#runtime/redis-check';
import { redisTargets } from '#runtime/redis-target';
import { RedisWatch } from '#runtime/redis-watch';
import { startTracing } from '#runtime/tracing';
import { Admission } from './queue/admission.ts';
import { connectAll, type Connections } from './queue/connections.ts';
import { Idempotency } from './queue/idempotency.ts';
import { QueueOutlook } from './queue/queue-outlook.ts';
import { QueuePositions } from './queue/queue-position.ts';
import { Quarantine } from './queue/quarantine.ts';
import { Reservations } from './queue/reservations.ts';
import { workersWanted } from './workers/scale.ts';
import { sharedSecret } from './queue/shared-secret.ts';
import { WorkerRegistry } from './workers/registry.ts';
import { createApp } from './app.ts';
import { consoleParts } from './console-parts.ts';
import { createAsk, type AskDeps } from './answer/ask.ts';
import { ByteBudget } from './answer/byte-budget.ts';
import { createDeliver } from './answer/deliver.ts';
import { answerLimits, chosenModels, connectionLimits, dialectSettings, imageLimits } from './config-parts.ts';
import { keylessAccess, queueLimits, requestTimeouts, structureLimits } from './config-parts.ts';
import { RecentRequests } from './http/console/recent-requests.ts';
import { Departure } from './http/departure.ts';
import { createDialects } from './dialects/index.ts';
import { keptResponses } from './dialects/openai/responses.ts';
import { createDurable } from './durable/create-durable.ts';
import { authenticate } from './http/auth.ts';
import { errorMiddleware } from './http/error-middleware.ts';
import { Intake, tlsFiles } from './http/connection/intake.ts';
import { createInternalApp } from './http/internal.ts';
import { withContext } from './http/request-context.ts';
import { BodyMemory } from './intake/body-memory.ts';
import { createImageResolver } from './request/resolve-images.ts';
import { createCacheSalt, givenSecret } from './keys/cache-salt.ts';
import { Limits } from './limits/limits.ts';
import { admissionCounts, attemptCounts, createMetrics, keptCounts, safetyCounts } from './metrics.ts';
import { suspectCounts, type Metrics } from './metrics.ts';
import { UsageBook } from './usage/usage-book.ts';
import { createPrepare, type Prepare } from './request/prepare.ts';
import { readSettings } from './read-settings.ts';
import { Relay } from './relay/relay.ts';
import { createSafety } from './safety/create-safety.ts';
import { Suspects } from './answer/suspects.ts';

const FAREWELL_MS = 1_000;

type Settings = ReturnType<typeof readSettings>;
type Parts = Awaited<ReturnType<typeof createParts>>;
type Wired = Parts & ReturnType<typeof wireAnswers>;
type Open = { readonly server: Server; readonly probes: Server; readonly uploads: Intake['uploads'] };

/** Composition root of the gateway: settings, wiring, listen, drain. No rule of the domain lives here. */
async function main(): Promise<void> {
  collectLessOften();
  const settings = readSettings();
  const { config, models, replica, log } = settings;
  const { GATEWAY_HOST: host, GATEWAY_PORT: port } = config;
  const redis = await connectAll(redisTargets('GATEWAY', config), config.GATEWAY_REDIS_WAIT_MS, models, log);
  const shared = await createParts(settings, redis);
  const parts = { ...shared, ...wireAnswers(settings, redis, shared) };
  const [intake, internalIntake] = [createIntake(settings, parts), createIntake(settings, parts)];
  const api = createPublicApp(settings, redis, { ...parts, prepare: await wirePrepare(settings, redis), intake });
  const internal = createInternal(settings, parts, internalIntake);
  await followRedis(settings, redis, parts);
  const probes = await internalIntake.listen(internal, config.GATEWAY_INTERNAL_HOST, config.GATEWAY_INTERNAL_PORT);
  const server = await intake.listen(api, host, port, tlsFiles(config));
  parts.departure.watch(server);
  if (settings.callers === undefined)
    log.warn({ host }, 'no keys are configured: only this machine can connect, and it needs no key');
  log.info({ replica, port, models }, 'listening');
  endInOrder(settings, redis, parts, { server, probes, uploads: intake.uploads });
}

async function createParts(settings: Settings, { queue, bodies, replies }: Connections) {
  const { config, log, audit, models, replica } = settings;
  const watch = new RedisWatch({ queue, replies: bodies }, log);
  const registry = new WorkerRegistry(queue, models, clock, log);
  const relay = new Relay({ reader: replies, commands: bodies, control: queue, replica, models, clock, log });
  const prometheus = new Registry();
  collectDefaultMetrics({ register: prometheus });
  watch.registerMetrics(prometheus);
  const admission: Admission = new Admission({
    redis: queue,
    bodies,
    reservations: new Reservations(queue, queueLimits(config)),
    lagMs: () => relay.lagMs,
    slots: (model, kind) => registry.slots(model, kind),
    onOutcome: (outcome) => metrics.admission.inc({ outcome }),
    onJobAdded: () => metrics.jobsAdded.inc(),
    log,
  });
  const limits = new Limits({ redis: queue, replica, onOutcome: (outcome) => metrics.admission.inc({ outcome }) });
  const outlook = new QueueOutlook(queue, admission);
  const metrics: Metrics = createMetrics(prometheus, {
    models,
    depth: (model, kind) => admission.depth(model, kind),
    outlook: (model, kind) => outlook.read(model, kind, false),
    lagMs: () => relay.lagMs,
    auditLinesLost: () => audit.lost,
    byKey: config.GATEWAY_USAGE_METRICS,
    isNewest: settings.isNewest,
  });
  const usage = new UsageBook(queue, models, config.GATEWAY_USAGE_DAYS, log);
  const dialects = createDialects(dialectSettings(config));
  const [departure, quarantine] = [new Departure(clock), new Quarantine(queue, log, audit)];
  const ofQueue = { admission, limits, outlook, positions: new QueuePositions(queue, admission), quarantine, usage };
  const safety = await createSafety(config, { clock, log, ...safetyCounts(metrics) });
  const recent = new RecentRequests();
  const tracing = await startTracing(settings.isTraced, { name: 'penstock-gateway', instance: replica }, log);
  return { watch, registry, relay, recent, prometheus, metrics, dialects, departure, safety, tracing, ...ofQueue };
}

function createIntake({ config, log, callers }: Settings, { dialects, metrics }: Parts): Intake {
  return new Intake({
    dialect: dialects.openai,
    clock,
    log,
    metrics,
    limits: connectionLimits(config),
    trusted: callers === undefined ? keylessAccess(config) : undefined,
  });
}

async function wirePrepare({ config, catalog, policy }: Settings, { queue }: Connections) {
  return createPrepare({
    catalog,
    policy,
    unknownModel: config.GATEWAY_UNKNOWN_MODEL,
    cacheSalt: createCacheSalt(givenSecret(config) ?? (await sharedSecret(queue).catch(refusedBy(queue)))),
    images: createImageResolver(imageLimits(config)),
  });
}

/** What every request needs on its way to an engine. */
function askDeps({ config, replica }: Settings, parts: Parts): AskDeps {
  const { metrics, quarantine } = parts;
  return {
    ...parts,
    clock,
    replica,
    idleMs: config.GATEWAY_IDLE_TIMEOUT_MS,
    holdMs: config.GATEWAY_NO_ENGINE_HOLD_MS,
    ...attemptCounts(metrics),
    suspects: new Suspects(quarantine, ...suspectCounts(metrics)),
  };
}

/** Answers that end with their connection, and answers that outlive it. */
function wireAnswers(settings: Settings, redis: Connections, parts: Parts) {
  const { config } = settings;
  const deps = askDeps(settings, parts);
  const ask = createAsk(deps);
  const continuation = {
    budget: new ByteBudget(config.GATEWAY_CONTINUATION_BYTES),
    streamBytes: config.GATEWAY_CONTINUATION_STREAM_BYTES,
  };
  const shared = { ...settings, ...parts, ...answerLimits(config), ...keptCounts(parts.metrics), clock, continuation };
  const durable = createDurable({ ...shared, ...redis, liveAsk: ask, askDeps: deps, form: keptResponses });
  return { deliver: createDeliver({ ...shared, ask }), ...durable };
}

function createPublicApp(
  settings: Settings,
  { queue, bodies }: Connections,
  parts: Wired & { readonly prepare: Prepare; readonly intake: Intake },
): RequestListener {
  const { config, catalog, policy, log, audit, callers } = settings;
  return createApp({
    ...parts,
    catalog,
    clock,
    log,
    audit,
    authenticate: authenticate(callers),
    policy,
    ...chosenModels(config),
    idempotency: new Idempotency(queue, bodies, config.GATEWAY_IDEMPOTENCY_TTL_MS),
    body: {
      limitBytes: config.GATEWAY_BODY_LIMIT_BYTES,
      memory: new BodyMemory(config.GATEWAY_BODY_MEMORY_BYTES, config.GATEWAY_BODY_MEMORY_KEY_BYTES),
    },
    structure: structureLimits(config),
    ...requestTimeouts(config),
    readyEngines: () => parts.registry.readyEngines(),
    corsOrigins: config.GATEWAY_CORS_ORIGINS,
    console: consoleParts(settings, parts),
    begunAt: parts.intake.begunAt,
  });
}

function createInternal(settings: Settings, parts: Wired, intake: Intake): RequestListener {
  const { config, catalog, log, audit, models, replica } = settings;
  const { registry, prometheus, admission, metrics, usage, departure, dialects } = parts;
  const ofRequest = { clock, log, audit, metrics, usage, departure, begunAt: intake.begunAt };
  const context = withContext(dialects.openai, ofRequest);
  return createInternalApp({
    first: intake.handlers(context),
    context,
    last: errorMiddleware(dialects.openai, metrics, log),
    registry: prometheus,
    // Without Redis too: replicas that all leave give callers refused connections instead of a 503 with Retry-After.
    ready: () => departure.stage === 'serving',
    readyEngines: () => registry.readyEngines(),
    models,
    depth: (model, kind) => admission.depth(model, kind),
    outlook: (model, kind) => parts.outlook.read(model, kind, true),
    admission: () => admissionCounts(metrics),
    usage: (filter) => usage.rows(filter),
    durable: parts,
    audit,
    workersWanted: (pool) =>
      workersWanted(pool, {
        pools: config.GATEWAY_POOLS,
        slotsOf: (model) => catalog.find(model)?.engine.max_in_flight,
        workers: () => registry.workers,
        waiting: (model, kind) => admission.depth(model, kind),
      }),
    status: () => ({ ...statusOf(replica, parts), issuers: settings.callers?.tokens?.views ?? [] }),
    hosts: config.GATEWAY_HOSTS,
  });
}

function statusOf(replica: string, { departure, relay, watch, registry, safety }: Parts) {
  const { stage } = departure;
  const filtered = { safety: safety?.status ?? null };
  return { replica, stage, openRequests: relay.openCount, redis: watch.views, workers: registry.workers, ...filtered };
}

async function followRedis({ models }: Settings, { bodies, queue }: Connections, parts: Wired): Promise<void> {
  const { relay, registry, quarantine, admission } = parts;
  await relay.start().catch(refusedBy(bodies));
  registry.start();
  quarantine.start();
  await Promise.all(models.map((model) => admission.open(model)));
  await parts.follow().catch(refusedBy(queue));
}

function endInOrder({ config, log, callers }: Settings, { all }: Connections, parts: Wired, open: Open): void {
  const { watch, registry, relay, admission, limits, usage, departure, quarantine, tracing } = parts;
  endWith(
    [
      {
        name: 'hand over kept answers',
        because: 'other gateways adopt them now, and not when their leases lapse',
        run: () => within(FAREWELL_MS, parts.handOver(false)),
      },
      {
        name: 'finish requests',
        because: 'running answers belong to their clients, and balancers need time to stop sending requests',
        run: () =>
          departure.run({
            server: open.server,
            delayMs: config.GATEWAY_DRAIN_DELAY_MS,
            limitMs: config.GATEWAY_DRAIN_TIMEOUT_MS,
            uploads: open.uploads,
            endAnswers: () => {
              relay.endAll();
              void within(FAREWELL_MS, parts.handOver(true));
            },
          }),
      },
      {
        name: 'leave Redis',
        because: 'dispatchers then see that this replica no longer reads replies',
        run: async () => {
          registry.stop();
          quarantine.stop();
          limits.close();
          watch.stop();
          callers?.close();
          // Redis may be away too; what remains there expires by itself.
          await within(FAREWELL_MS, Promise.all([relay.stop(), parts.unfollow(), usage.close(), admission.close()]));
          for (const redis of all) redis.disconnect();
        },
      },
      {
        name: 'send the last spans',
        because: 'all answers are over',
        run: () => within(FAREWELL_MS, tracing?.close() ?? Promise.resolve()),
      },
      { name: 'probes', because: 'they answer until the end', run: () => open.probes.close() },
    ],
    config.GATEWAY_DRAIN_DELAY_MS + config.GATEWAY_DRAIN_TIMEOUT_MS + 5_000,
    log,
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`penstock gateway: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
