import { Control } from '#contract/control';
import { keys, useKeyPrefix } from '#contract/redis-keys';
import { readJson } from '#contract/read-json';
import { WORKER_REPORT_EVERY_MS, WORKER_REPORT_TTL_MS, writtenReport, type WorkerReport } from '#contract/registry';
import { collectLessOften } from '#runtime/collector';
import { newIncarnation } from '#runtime/incarnation';
import { endWith, within } from '#runtime/lifecycle';
import { captureConsole, createLog } from '#runtime/log';
import { connectRedis } from '#runtime/redis';
import { redisTargets } from '#runtime/redis-target';
import { loadConfig } from '../config.ts';
import { BulkReader } from './bulk-reader.ts';
import { Dispatcher } from './dispatcher.ts';
import { EngineSlots } from './engine-slots.ts';
import { ALIVE_EVERY_MS, ToDispatcher, type FromDispatcher } from './link.ts';
import { Publisher } from './publisher.ts';

/** What a stopping dispatcher still says to Redis, which may be gone, takes no longer than this. */
const FAREWELL_MS = 1_000;
/** Longest silence of Redis while a picture is read, in milliseconds. */
const PICTURE_SILENCE_MS = 3_000;
/** An answer that Redis has not taken after this long, in milliseconds, keeps its dispatcher from further jobs. */
const STUCK_MS = 3_000;
const LOOK_MS = 250;
/** An orphan is gone after this, whatever it was doing. */
const ORPHAN_LIMIT_MS = 8_000;

/** Composition root of a dispatcher process: a child of the launcher, which tells it of the engines over IPC. */
collectLessOften();
const config = loadConfig(process.env);
const log = createLog('dispatcher', config.WORKER_LOG_LEVEL);
captureConsole(log);
const incarnation = newIncarnation('d');
const tell = (message: FromDispatcher): void => {
  if (process.connected) process.send?.(message);
};

useKeyPrefix(config.WORKER_REDIS_PREFIX);
const { queue, replies } = redisTargets('WORKER', config);
const redis = connectRedis(queue, 'patient', 'dispatcher', log);
const controlRedis = connectRedis(queue, 'patient', 'dispatcher-control', log);
const replyRedis = connectRedis(replies, 'patient', 'dispatcher-replies', log);
const pictures = new BulkReader(replies, PICTURE_SILENCE_MS);

let loadTimer: NodeJS.Timeout | undefined;
const slots = new EngineSlots(() => {
  loadTimer ??= setTimeout(() => {
    loadTimer = undefined;
    tell({ type: 'load', inFlight: Object.fromEntries(slots.reports().map(({ id, inFlight }) => [id, inFlight])) });
  }, 100);
});
const suspect = (engine: string): void => {
  slots.suspect(engine);
  tell({ type: 'suspect', engine });
};
const publisher = new Publisher(replyRedis, incarnation, log, {
  gone: (replica) => dispatcher.replicaGone(replica),
  behind: (replica, behind) => dispatcher.replicaBehind(replica, behind),
});
const dispatcher = new Dispatcher({
  redis,
  slots,
  log,
  publisher,
  readBody: async (job) => {
    const key = keys.body(job.model, job.requestId);
    // The other connection waits for a Redis that is away, and follows it.
    const reading =
      job.kind === 'image' ? pictures.get(key).catch(() => replyRedis.getBuffer(key)) : replyRedis.getBuffer(key);
    const [bytes, ttlMs] = await Promise.all([reading, replyRedis.pttl(key)]);
    return { bytes, ttlMs };
  },
  leaseAlive: async (replica) => (await replyRedis.exists(keys.replies(replica))) === 1,
  onAnswer: (engine, status) => {
    if (slots.answered(engine, status)) tell({ type: 'answered', engine, status });
  },
  onSuspect: suspect,
});

setInterval(() => tell({ type: 'alive', intakes: slots.intakes() }), ALIVE_EVERY_MS).unref();

let draining = false;
const report = async (): Promise<void> => {
  const value: WorkerReport = {
    incarnation,
    pid: process.pid,
    launcherPid: process.ppid,
    node: config.WORKER_NODE,
    pool: config.WORKER_POOL,
    draining,
    engines: slots.reports(),
  };
  await redis
    .multi()
    .set(keys.worker(incarnation), writtenReport(value), 'PX', WORKER_REPORT_TTL_MS)
    .zadd(keys.workers(), Date.now(), incarnation)
    .exec();
};
const unreport = (): Promise<unknown> =>
  redis.multi().del(keys.worker(incarnation)).zrem(keys.workers(), incarnation).exec();
const reporting = setInterval(() => void report().catch(() => {}), WORKER_REPORT_EVERY_MS);

controlRedis.on('message', (_channel, text) => {
  const message = readJson(Control, text);
  if (message !== undefined) dispatcher.control(message);
});

let adjusting: Promise<void> = Promise.resolve();
const adjust = (): void => {
  adjusting = adjusting
    .then(() => dispatcher.adjust())
    .then(report)
    .catch((cause: unknown) => log.error({ cause }, 'could not follow the engines'));
};
const watchingWrites = setInterval(() => {
  const stuckMs = publisher.stuckMs;
  if (!dispatcher.stuck(stuckMs >= STUCK_MS)) return;
  if (stuckMs >= STUCK_MS) log.warn({ stuckMs: Math.round(stuckMs) }, 'answers cannot be written: no jobs are taken');
  else log.info({}, 'answers can be written again: jobs are taken');
  adjust();
}, LOOK_MS).unref();
process.on('message', (raw) => {
  const message = ToDispatcher.parse(raw);
  if (message.type === 'engines') {
    slots.update(message.engines);
    adjust();
  } else if (message.type === 'relieve') dispatcher.relieve(message.engine);
  else {
    end('the launcher drains');
  }
});

// Without the launcher nobody supervises the engines, and its guards end them: nothing here can finish.
process.on('disconnect', () => {
  setTimeout(() => process.exit(1), ORPHAN_LIMIT_MS).unref();
  dispatcher.abandon('the worker was killed');
});
const end = endWith(
  [
    {
      name: 'finish',
      because: 'running answers belong to their clients',
      run: async () => {
        draining = true;
        await within(FAREWELL_MS, report());
        await dispatcher.drain(FAREWELL_MS);
      },
    },
    { name: 'last frames', because: 'the gateways wait for them', run: () => within(FAREWELL_MS, publisher.close()) },
    {
      name: 'leave the registry',
      because: 'a gateway must not count on these engines',
      run: async () => {
        clearInterval(reporting);
        clearInterval(watchingWrites);
        await within(FAREWELL_MS, unreport());
        tell({ type: 'drained' });
      },
    },
  ],
  config.WORKER_DRAIN_TIMEOUT_MS,
  log,
);
// Last, as it waits for Redis: whatever happens meanwhile finds the process able to end.
await controlRedis.subscribe(keys.control(incarnation));
tell({ type: 'ready', incarnation });
