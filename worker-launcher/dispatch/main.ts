import { Control } from '#contract/control';
import { dispatcherName } from '#contract/model-names';
import { redisKeys, useKeyPrefix } from '#contract/redis-keys';
import { readJson } from '#contract/read-json';
import { collectLessOften } from '#runtime/collector';
import { newIncarnation } from '#runtime/incarnation';
import { endWith, within } from '#runtime/lifecycle';
import { captureConsole, createLog, type Log } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { beginLogins, hasOneAddress, redisTargets } from '#runtime/redis-target';
import { wantsTraces } from '#runtime/trace-settings';
import { startTracing, type Tracing } from '#runtime/tracing';
import { loadConfig, type WorkerConfig } from '../config.ts';
import { AnswerLogs } from './answer-logs.ts';
import { BulkReader } from './bulk-reader.ts';
import { Dispatcher } from './dispatcher.ts';
import { EngineSlots } from './engine-slots.ts';
import { LeftBodies } from './left-bodies.ts';
import { ALIVE_EVERY_MS, ToDispatcher, type FromDispatcher } from './link.ts';
import { Publisher } from './publisher.ts';
import { Registration } from './registration.ts';

/** Time limit for each last write of a stopping dispatcher to Redis, which may be down, in milliseconds. */
const FAREWELL_MS = 1_000;
/** Longest silence of Redis while a picture is read, in milliseconds. */
const PICTURE_SILENCE_MS = 3_000;
/** If Redis has not accepted a write for this long, in milliseconds, the dispatcher takes no more jobs. */
const STUCK_MS = 3_000;
const LOOK_MS = 250;
/** A dispatcher without its launcher exits after this time, in milliseconds. */
const ORPHAN_LIMIT_MS = 8_000;

type Connections = Awaited<ReturnType<typeof connect>>;
type Parts = ReturnType<typeof createParts>;

interface EndingDeps {
  readonly config: WorkerConfig;
  readonly registration: Registration;
  readonly watchingWrites: NodeJS.Timeout;
  readonly log: Log;
}

/** Composition root of a dispatcher process: a child of the launcher, which sends it the engines over IPC. */
async function main(): Promise<void> {
  collectLessOften();
  const config = loadConfig(process.env);
  const log = createLog('dispatcher', config.WORKER_LOG_LEVEL);
  captureConsole(log);
  const { WORKER_MODEL: model } = config;
  if (model === undefined) throw new Error('a dispatcher gets the name of its card from its launcher');
  const incarnation = dispatcherName(newIncarnation('d'), model);
  const connections = await connect(config, log);
  const service = { name: 'penstock-dispatcher', instance: incarnation };
  const tracing = await startTracing(wantsTraces(process.env), service, log);
  const parts = createParts(connections, incarnation, tracing, log);
  const { slots, dispatcher } = parts;
  setInterval(() => tell({ type: 'alive', intakes: slots.intakes() }), ALIVE_EVERY_MS).unref();
  const { WORKER_NODE: node, WORKER_POOL: pool } = config;
  const registration = new Registration({ redis: connections.redis, incarnation, model, node, pool, slots });
  registration.start();
  takeCommands(connections, dispatcher);
  const adjust = follower(dispatcher, registration, log);
  const watchingWrites = watchWrites(parts, adjust, log);
  obeyLauncher(parts, adjust, () => end('the launcher drains'));
  const end = endInOrder(parts, { config, registration, watchingWrites, log });
  // Last, because it waits for Redis: until it returns, the process can already be stopped.
  await connections.controlRedis.subscribe(redisKeys.control(incarnation));
  tell({ type: 'ready', incarnation });
}

/** Sends a message to the launcher, unless it has exited. */
function tell(message: FromDispatcher): void {
  if (process.connected) process.send?.(message);
}

async function connect(config: WorkerConfig, log: Log) {
  useKeyPrefix(config.WORKER_REDIS_PREFIX);
  const targets = redisTargets('WORKER', config);
  await beginLogins(targets, log);
  const { queue, replies } = targets;
  return {
    redis: connectRedis(queue, 'patient', 'dispatcher', log),
    connectBlocking: () => connectRedis(queue, 'patient', 'dispatcher-jobs', log),
    logRedis: connectRedis(queue, 'once', 'dispatcher-logs', log),
    controlRedis: connectRedis(queue, 'patient', 'dispatcher-control', log),
    replyRedis: connectRedis(replies, 'patient', 'dispatcher-replies', log),
    // It knows one address, which no cluster and no Sentinel has.
    pictures: hasOneAddress(replies) ? new BulkReader(replies, PICTURE_SILENCE_MS) : undefined,
  };
}

function createParts(
  { redis, connectBlocking, logRedis, replyRedis, pictures }: Connections,
  incarnation: string,
  tracing: Tracing | undefined,
  log: Log,
) {
  let loadTimer: NodeJS.Timeout | undefined;
  const slots = new EngineSlots(() => {
    loadTimer ??= setTimeout(() => {
      loadTimer = undefined;
      tell({ type: 'load', inFlight: Object.fromEntries(slots.reports().map(({ id, inFlight }) => [id, inFlight])) });
    }, 100);
  });
  const publisher = new Publisher(replyRedis, incarnation, log, {
    gone: (replica) => dispatcher.replicaGone(replica),
    behind: (replica, behind) => dispatcher.replicaBehind(replica, behind),
  });
  const logs = new AnswerLogs(logRedis, incarnation, log, {
    copies: publisher,
    superseded: (job, token) => dispatcher.superseded(job, token),
    full: (model, isFull) => dispatcher.logsFull(model, isFull),
  });
  const dispatcher = new Dispatcher({
    redis,
    connectBlocking,
    incarnation,
    slots,
    leftBodies: new LeftBodies(replyRedis, log),
    tracing,
    log,
    publisher,
    logs,
    readBody: async (job) => {
      const key = redisKeys.body(job.model, job.requestId);
      if (job.durable !== undefined) {
        const [bytes, ttlMs] = await Promise.all([redis.getBuffer(key), redis.pttl(key)]);
        return { bytes, ttlMs };
      }
      // If the reader fails, the other connection waits until Redis is available again.
      const reading =
        job.kind === 'image' && pictures !== undefined
          ? pictures.get(key).catch(() => replyRedis.getBuffer(key))
          : replyRedis.getBuffer(key);
      const [bytes, ttlMs] = await Promise.all([reading, replyRedis.pttl(key)]);
      return { bytes, ttlMs };
    },
    leaseAlive: async (replica) => (await replyRedis.exists(redisKeys.replies(replica))) === 1,
    onAnswer: (engine, status) => {
      if (slots.answered(engine, status)) tell({ type: 'answered', engine, status });
    },
    onSuspect: (engine) => {
      slots.suspect(engine);
      tell({ type: 'suspect', engine });
    },
  });
  return { slots, publisher, logs, dispatcher, tracing };
}

/** Passes the gateways' control messages on. */
function takeCommands({ controlRedis }: Connections, dispatcher: Dispatcher): void {
  controlRedis.on('message', (_channel: string, text: string) => {
    const message = readJson(Control, text);
    if (message !== undefined) dispatcher.control(message);
  });
}

/** @returns a function to call after each change of the engines or of `stuck`; changes are applied and reported one by one */
function follower(dispatcher: Dispatcher, registration: Registration, log: Log): () => void {
  let adjusting: Promise<void> = Promise.resolve();
  return () => {
    adjusting = adjusting
      .then(() => {
        dispatcher.adjust();
      })
      .then(() => registration.report())
      .catch((cause: unknown) => log.error({ cause }, 'a change of the engines could not be applied'));
  };
}

/** Stops pulling jobs while Redis accepts no answers. */
function watchWrites({ dispatcher, publisher, logs }: Parts, adjust: () => void, log: Log): NodeJS.Timeout {
  return setInterval(() => {
    const stuckMs = Math.max(publisher.stuckMs, logs.stuckMs);
    if (!dispatcher.stuck(stuckMs >= STUCK_MS)) return;
    if (stuckMs >= STUCK_MS)
      log.warn({ stuckMs: Math.round(stuckMs) }, 'Redis accepts no answers: the dispatcher takes no jobs');
    else log.info({}, 'Redis accepts answers again: the dispatcher takes jobs');
    adjust();
  }, LOOK_MS).unref();
}

function obeyLauncher({ slots, dispatcher }: Parts, adjust: () => void, drain: () => void): void {
  process.on('message', (raw) => {
    const message = ToDispatcher.parse(raw);
    if (message.type === 'engines') {
      slots.update(message.engines);
      adjust();
    } else if (message.type === 'relieve') dispatcher.relieve(message.engine, message.stuckMs);
    else drain();
  });
  // Without the launcher, its guards kill the engines, so no answer can finish.
  process.on('disconnect', () => {
    setTimeout(() => process.exit(1), ORPHAN_LIMIT_MS).unref();
    dispatcher.abandon('the worker was killed');
  });
}

function endInOrder(
  { dispatcher, publisher, logs, tracing }: Parts,
  { config, registration, watchingWrites, log }: EndingDeps,
): (why: string) => void {
  return endWith(
    [
      {
        name: 'finish',
        because: 'running answers belong to their clients',
        run: async () => {
          await within(FAREWELL_MS, registration.drain());
          await dispatcher.drain(FAREWELL_MS);
        },
      },
      {
        name: 'last frames',
        because: 'the gateways wait for them',
        run: () => within(FAREWELL_MS, Promise.all([publisher.close(), logs.close()])),
      },
      {
        name: 'leave the registry',
        because: 'a gateway must not count on these engines',
        run: async () => {
          clearInterval(watchingWrites);
          await within(FAREWELL_MS, Promise.all([registration.leave(), tracing?.close()]));
          tell({ type: 'drained' });
        },
      },
    ],
    config.WORKER_DRAIN_TIMEOUT_MS,
    log,
  );
}

await main();
