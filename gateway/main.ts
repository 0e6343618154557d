import type { Redis } from 'ioredis';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { Failure } from './failure.ts';
import { keys as redisKeys, useKeyPrefix } from '#contract/redis-keys';
import { parseCatalog } from '#contract/model-card';
import { monotonic as clock } from '#runtime/clock';
import { collectLessOften } from '#runtime/collector';
import { newIncarnation } from '#runtime/incarnation';
import { endWith, within } from '#runtime/lifecycle';
import { captureConsole, createLog } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { refusal, requireRedis } from '#runtime/redis-check';
import { redisTargets } from '#runtime/redis-target';
import { RedisWatch } from '#runtime/redis-watch';
import { readYamlFolder } from '#runtime/yaml-folder';
import { Admission } from './queue/admission.ts';
import { Idempotency } from './queue/idempotency.ts';
import { Quarantine } from './queue/quarantine.ts';
import { Reservations } from './queue/reservations.ts';
import { checkPools, workersWanted } from './workers/scale.ts';
import { sharedSecret } from './queue/shared-secret.ts';
import { WorkerRegistry } from './workers/registry.ts';
import { createApp } from './app.ts';
import { createAsk } from './answer/ask.ts';
import { ByteBudget } from './answer/byte-budget.ts';
import { createDeliver } from './answer/deliver.ts';
import { loadConfig } from './config.ts';
import { Departure } from './http/departure.ts';
import { createDialects } from './dialects/index.ts';
import { authenticate } from './http/auth.ts';
import { errorMiddleware } from './http/error-middleware.ts';
import { Intake } from './http/connection/intake.ts';
import { createInternalApp } from './http/internal.ts';
import { withContext } from './http/request-context.ts';
import { BodyMemory } from './intake/body-memory.ts';
import { createImageResolver } from './request/resolve-images.ts';
import { createCacheSalt, givenSecret } from './keys/cache-salt.ts';
import { LiveKeys } from './keys/live-keys.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createPrepare } from './request/prepare.ts';
import { Relay } from './relay/relay.ts';
import { Suspects } from './answer/suspects.ts';

const FAREWELL_MS = 1_000;

/** What a start asks for, and a Redis that is full, for instance, refuses. */
const refusedBy =
  (redis: Redis) =>
  (cause: unknown): never => {
    throw refusal(redis, cause);
  };

/** Composition root of the gateway: settings, wiring, listen, drain. No rule of the domain lives here. */
async function main(): Promise<void> {
  collectLessOften();
  const config = loadConfig(process.env);
  useKeyPrefix(config.GATEWAY_REDIS_PREFIX);
  const log = createLog('gateway', config.GATEWAY_LOG_LEVEL);
  captureConsole(log);
  const catalog = parseCatalog(
    readYamlFolder(config.GATEWAY_MODELS_DIR, 'GATEWAY_MODELS_DIR'),
    config.GATEWAY_DEPLOYMENTS,
  );
  const models = catalog.cards.map(({ name }) => name);
  checkPools(config.GATEWAY_POOLS, models);
  const keys = config.GATEWAY_KEYS_FILE === undefined ? undefined : new LiveKeys(config.GATEWAY_KEYS_FILE, log);
  const replica = newIncarnation('g');

  const { queue, replies } = redisTargets('GATEWAY', config);
  const queueRedis = connectRedis(queue, 'fail_fast', 'gateway', log);
  const bodies = replies === queue ? queueRedis : connectRedis(replies, 'fail_fast', 'gateway-bodies', log);
  const reader = connectRedis(replies, 'patient', 'gateway-replies', log);
  const connections = new Set([queueRedis, bodies, reader]);
  const probed = {
    unused: [redisKeys.replies('check'), redisKeys.body('check', 'check')],
    channel: redisKeys.control('check'),
  };
  await Promise.all([...connections].map((redis) => requireRedis(redis, config.GATEWAY_REDIS_WAIT_MS, probed)));
  const watch = new RedisWatch({ queue: queueRedis, replies: bodies }, log);

  const registry = new WorkerRegistry(queueRedis, clock, log);
  const relay = new Relay({ reader, commands: bodies, control: queueRedis, replica, clock, log });
  const prometheus = new Registry();
  collectDefaultMetrics({ register: prometheus });
  watch.registerMetrics(prometheus);
  const admission: Admission = new Admission({
    redis: queueRedis,
    bodies,
    reservations: new Reservations(queueRedis, {
      jobs: config.GATEWAY_QUEUE_LIMIT_JOBS,
      bytes: config.GATEWAY_QUEUE_LIMIT_BYTES,
    }),
    lagMs: () => relay.lagMs,
    onOutcome: (outcome) => metrics.admission.inc({ outcome }),
    onJobAdded: () => metrics.jobsAdded.inc(),
    log,
  });
  const metrics: Metrics = createMetrics(prometheus, {
    models,
    depth: (model, kind) => admission.depth(model, kind),
    lagMs: () => relay.lagMs,
  });

  const deploymentName = config.GATEWAY_DEPLOYMENT_NAME;
  const dialects = createDialects({
    deploymentName,
    scoreErrors: config.GATEWAY_SCORE_ERRORS,
    tokenize: config.GATEWAY_TOKENIZE,
  });
  const { openai } = dialects;
  const departure = new Departure(clock);
  const newIntake = (): Intake =>
    new Intake({
      dialect: openai,
      clock,
      log,
      metrics,
      limits: {
        all: config.GATEWAY_CONNECTIONS,
        incompletePerAddress: config.GATEWAY_CONNECTIONS_PER_ADDRESS,
        headMs: config.GATEWAY_HEAD_TIMEOUT_MS,
        bodyMs: config.GATEWAY_BODY_TIMEOUT_MS,
      },
      trusted: keys === undefined ? { hosts: config.GATEWAY_HOSTS, origins: config.GATEWAY_CORS_ORIGINS } : undefined,
    });
  const [intake, internalIntake] = [newIntake(), newIntake()];
  const quarantine = new Quarantine(queueRedis, log);
  const ask = createAsk({
    admission,
    relay,
    registry,
    clock,
    replica,
    idleMs: config.GATEWAY_IDLE_TIMEOUT_MS,
    holdMs: config.GATEWAY_NO_ENGINE_HOLD_MS,
    onEvicted: () => metrics.admission.inc({ outcome: 'evicted_no_engine' }),
    onRepeat: () => metrics.repeats.inc(),
    suspects: new Suspects(
      quarantine,
      (key) => metrics.engineDeaths.inc({ key }),
      () => metrics.quarantined.inc(),
    ),
  });
  const policy = { maxTokens: config.GATEWAY_MAX_TOKENS, maxChoices: config.GATEWAY_MAX_CHOICES };
  const prepare = createPrepare({
    catalog,
    policy,
    unknownModel: config.GATEWAY_UNKNOWN_MODEL,
    cacheSalt: createCacheSalt(givenSecret(config) ?? (await sharedSecret(queueRedis).catch(refusedBy(queueRedis)))),
    images: createImageResolver({
      allow: config.GATEWAY_IMAGE_ALLOW,
      timeoutMs: config.GATEWAY_IMAGE_TIMEOUT_MS,
      limitBytes: config.GATEWAY_IMAGE_LIMIT_BYTES,
      limitPixels: config.GATEWAY_IMAGE_LIMIT_PIXELS,
      fetchesPerKey: config.GATEWAY_IMAGE_LIMIT_KEY_FETCHES,
      fetchesPerReplica: config.GATEWAY_IMAGE_LIMIT_FETCHES,
      names: { servers: config.GATEWAY_IMAGE_NAME_SERVERS },
    }),
  });
  const app = createApp({
    catalog,
    clock,
    log,
    metrics,
    authenticate: authenticate(keys),
    deploymentName,
    policy,
    unknownModel: config.GATEWAY_UNKNOWN_MODEL,
    unknownDeployment: config.GATEWAY_UNKNOWN_DEPLOYMENT,
    dialects,
    prepare,
    deliver: createDeliver({
      ask,
      clock,
      keepAliveMs: config.GATEWAY_KEEP_ALIVE_MS,
      slowClientBytes: config.GATEWAY_SLOW_CLIENT_BYTES,
      continuation: {
        budget: new ByteBudget(config.GATEWAY_CONTINUATION_BYTES),
        streamBytes: config.GATEWAY_CONTINUATION_STREAM_BYTES,
      },
    }),
    idempotency: new Idempotency(queueRedis, bodies, config.GATEWAY_IDEMPOTENCY_TTL_MS),
    body: {
      limitBytes: config.GATEWAY_BODY_LIMIT_BYTES,
      memory: new BodyMemory(config.GATEWAY_BODY_MEMORY_BYTES, config.GATEWAY_BODY_MEMORY_KEY_BYTES),
    },
    structure: {
      bytes: config.GATEWAY_BODY_LIMIT_TEXT_BYTES,
      depth: config.GATEWAY_BODY_LIMIT_DEPTH,
      values: config.GATEWAY_BODY_LIMIT_VALUES,
      texts: config.GATEWAY_BODY_LIMIT_TEXTS,
    },
    requestTimeoutMs: config.GATEWAY_REQUEST_TIMEOUT_MS,
    scoreTimeoutMs: config.GATEWAY_SCORE_TIMEOUT_MS,
    readyEngines: () => registry.readyEngines(),
    departure,
    corsOrigins: config.GATEWAY_CORS_ORIGINS,
    intake,
    begunAt: intake.begunAt,
  });
  const { begunAt } = internalIntake;
  const context = withContext(openai, { clock, log, metrics, departure, begunAt });
  const internal = createInternalApp({
    first: internalIntake.handlers(context),
    context,
    last: errorMiddleware(openai, metrics, log),
    registry: prometheus,
    // Redis answered before anything listened here. If it goes away, all replicas would be taken out at once, and clients see
    // refused connections in place of a 503 that says when to try again.
    ready: () => departure.stage === 'serving',
    readyEngines: () => registry.readyEngines(),
    models,
    depth: (model, kind) => admission.depth(model, kind),
    workersWanted: (pool) =>
      workersWanted(pool, {
        pools: config.GATEWAY_POOLS,
        slotsOf: (model) => catalog.find(model)?.engine.max_in_flight,
        workers: () => registry.workers,
        waiting: (model, kind) => admission.depth(model, kind),
      }),
    status: () => ({
      replica,
      stage: departure.stage,
      openRequests: relay.openCount,
      redis: watch.views,
      workers: registry.workers,
    }),
  });

  await relay.start().catch(refusedBy(bodies));
  registry.start();
  quarantine.start();
  await Promise.all(models.map((model) => admission.open(model)));
  const internalServer = await internalIntake.listen(
    internal,
    config.GATEWAY_INTERNAL_HOST,
    config.GATEWAY_INTERNAL_PORT,
  );
  const publicServer = await intake.listen(app, config.GATEWAY_HOST, config.GATEWAY_PORT);
  departure.watch(publicServer);
  if (keys === undefined)
    log.warn({ host: config.GATEWAY_HOST }, 'no keys are configured: only this machine can connect, and needs no key');
  log.info({ replica, port: config.GATEWAY_PORT, models }, 'listening');

  endWith(
    [
      {
        name: 'finish requests',
        because: 'running answers belong to their clients, and balancers need a while to send nothing more',
        run: () =>
          departure.run({
            server: publicServer,
            delayMs: config.GATEWAY_DRAIN_DELAY_MS,
            limitMs: config.GATEWAY_DRAIN_TIMEOUT_MS,
            uploads: intake.uploads,
            endAnswers: () =>
              relay.endAll(new Failure('shutting_down', 'this gateway had to stop before the answer was complete')),
          }),
      },
      {
        name: 'leave Redis',
        because: 'dispatchers see that nobody reads here any more',
        run: async () => {
          registry.stop();
          quarantine.stop();
          watch.stop();
          keys?.close();
          // Redis may be gone as well: what is left there lapses by itself.
          await within(FAREWELL_MS, Promise.all([relay.stop(), admission.close()]));
          for (const redis of connections) redis.disconnect();
        },
      },
      { name: 'probes', because: 'they answer to the last', run: () => internalServer.close() },
    ],
    config.GATEWAY_DRAIN_DELAY_MS + config.GATEWAY_DRAIN_TIMEOUT_MS + 5_000,
    log,
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`penstock gateway: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
