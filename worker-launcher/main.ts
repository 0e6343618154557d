import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { parseCatalog, type ModelCard } from '#contract/model-card';
import { createAudit, thisUser, type Who } from '#runtime/audit';
import { endWith } from '#runtime/lifecycle';
import { captureConsole, createLog, droppedLogLines } from '#runtime/log';
import { RedisWatch } from '#runtime/redis-watch';
import { wantsTraces } from '#runtime/trace-settings';
import { readYamlFolder } from '#runtime/yaml-folder';
import { loadConfig, type WorkerConfig } from './config.ts';
import { Dispatchers } from './fleet/dispatchers.ts';
import { engineAddress } from './engine/address.ts';
import { EngineLedger } from './engine/ledger.ts';
import type { CrashReason, OutlierReason } from './engine/state.ts';
import { planEngines, type EnginePlan } from './preflight/engine-plan.ts';
import { Engines } from './fleet/engines.ts';
import { startInternalServer, type InternalServer, type LauncherStatus } from './probes.ts';
import { createMetrics } from './metrics.ts';
import { chooseCard } from './preflight/choose-card.ts';
import { readFactsFile, type MachineFacts } from './preflight/facts.ts';
import { readFacts } from './preflight/read-facts.ts';
import { commandOnPath } from './preflight/vllm-version.ts';
import { connectBoth } from './preflight/redis-connections.ts';

/** If the parent process exits, the launcher and its children exit within this time. */
const ORPHAN_LIMIT_MS = 8_000;
const ORPHAN_ABANDON_MS = 2_000;
const ORPHAN_STOP = { drainMs: 0, settleMs: 0, stopMs: 2_000 } as const;

type Settings = ReturnType<typeof readSettings>;
type Machine = Awaited<ReturnType<typeof lookAtMachine>>;

/** State of the launcher's own shutdown. */
interface Course {
  draining: boolean;
  orphaned: boolean;
}

interface Given {
  readonly ledger: EngineLedger;
  readonly redis: RedisWatch;
  readonly course: Readonly<Course>;
}

interface EndingDeps {
  readonly dispatchers: Dispatchers;
  readonly engines: Engines;
  readonly internal: InternalServer;
  readonly course: Course;
}

/** Composition root of the worker-launcher: settings, wiring, start, drain. */
async function launch(): Promise<void> {
  const startedByParent = process.connected === true;
  const settings = readSettings();
  const { config, log, card } = settings;
  const ledger = new EngineLedger(config.WORKER_STATE_DIR, log);
  // Its own connections, so that it sees an outage without its dispatchers.
  const redis = new RedisWatch({ ...(await connectBoth(config, card.name, log)) }, log);
  // Before the machine is read: the orphans of an earlier launcher hold GPU memory.
  const swept = await ledger.sweep();
  if (swept.length > 0) log.warn({ groups: swept }, 'killed the engines that an earlier launcher left running');
  const machine = await lookAtMachine(settings);
  const { plan } = machine;
  const course: Course = { draining: false, orphaned: false };
  const { dispatchers, engines, registry, status } = createParts(settings, machine, { ledger, redis, course });
  const internal = await startInternalServer(config.WORKER_INTERNAL_HOST, config.WORKER_INTERNAL_PORT, {
    status,
    metrics: registry,
    engineMetrics: () => engines.metrics(),
    hosts: config.WORKER_HOSTS,
  });
  const end = endInOrder(settings, { dispatchers, engines, internal, course });
  if (startedByParent && !process.connected) {
    end('the parent process exited');
    return;
  }
  reloadOnHangup(settings, machine, engines);
  engines.start((reason) => {
    process.stderr.write(`worker-launcher: ${reason}\n`);
    process.exitCode = 1;
    end('the weights are not those of the card');
  });
  dispatchers.start();
  log.info({ model: card.name, engine: plan.kind, engines: plan.engines.length, port: internal.port }, 'launched');
}

function readSettings() {
  const config = loadConfig(process.env);
  // Its dispatchers use them, and the launcher refuses a mistake at its own start.
  wantsTraces(process.env);
  const log = createLog('worker-launcher', config.WORKER_LOG_LEVEL);
  captureConsole(log);
  const audit = createAudit('worker-launcher', {
    place: config.WORKER_AUDIT_FILE,
    setting: 'WORKER_AUDIT_FILE',
    log,
  });
  /** @returns the card, and what is recorded of it */
  const readCard = () => {
    const files = readYamlFolder(config.WORKER_MODELS_DIR, 'WORKER_MODELS_DIR');
    const catalog = parseCatalog(files);
    const chosen = chooseCard(catalog, config.WORKER_MODEL);
    const { sha256 } = files[catalog.cards.indexOf(chosen)] ?? {};
    return { card: chosen, facts: { what: chosen.name, version: chosen.version, sha256 } };
  };
  const { card, facts } = readCard();
  const done = { who: thisUser(), result: 'done' } as const;
  const fields = Object.keys(process.env).filter((name) => name.startsWith('WORKER_'));
  audit.record({ act: 'settings.read', what: 'worker-launcher', fields: fields.toSorted(), ...done });
  audit.record({ act: 'card.read', ...facts, ...done });
  // Fails here, once, instead of in each engine.
  engineAddress(config.WORKER_STATE_DIR, 'engine-0', config.WORKER_ENGINE_PORT);
  return { config, log, audit, readCard, card };
}

/** The facts of this machine and the engines that the card plans for it. */
async function lookAtMachine({ config, log, card }: Settings) {
  const vllmOnPath = commandOnPath('vllm', process.env['PATH']) !== undefined;
  const facts = await factsFor(config, vllmOnPath);
  const planFor = (of: ModelCard): EnginePlan => planEngines(config, of, { facts, vllmOnPath, env: process.env });
  const plan = planFor(card);
  if (plan.warnings.length > 0) log.warn({ missing: plan.warnings }, 'this machine does not pass the preflight');
  if (plan.kind === 'vllm') for (const warning of plan.preflight.warnings) log.warn({ vllm: facts.vllm }, warning);
  log.info({ facts, plan: plan.preflight.placement }, 'planned');
  return { facts, planFor, plan };
}

async function factsFor(config: WorkerConfig, vllmOnPath: boolean): Promise<MachineFacts> {
  const { WORKER_FACTS_FILE: file, WORKER_SKU: sku } = config;
  const briefly = config.WORKER_ENGINE === 'simulator' || !vllmOnPath;
  const facts = file === undefined ? await readFacts(process.env, { sku, briefly }) : readFactsFile(file);
  return sku === undefined ? facts : { ...facts, sku };
}

function createParts(
  { config, card, log, audit }: Settings,
  { facts, plan }: Machine,
  { ledger, redis, course }: Given,
) {
  const dispatchers = new Dispatchers({
    entryPath: fileURLToPath(new URL('./dispatch/main.js', import.meta.url)),
    engineIds: plan.engines.map(({ id }) => id),
    env: { ...process.env, WORKER_MODEL: card.name },
    onSuspect: (engine) => engines.hint(engine),
    onAnswered: (engine, status) => engines.answered(engine, status),
    log,
  });
  const registry = new Registry();
  redis.registerMetrics(registry);
  const metrics = createMetrics(
    registry,
    () => status().engines,
    () => audit.lost,
  );
  const onRestart = (reason: CrashReason): void => metrics.countRestart(reason);
  const onOutlier = (reason: OutlierReason): void => metrics.countOutlier(reason);
  const started = { config, card, plan, facts, ledger, dispatchers, env: process.env, log, audit };
  const engines = new Engines({ ...started, onRestart, onOutlier });
  const { WORKER_NODE: node, WORKER_POOL: pool } = config;
  const status = (): LauncherStatus => ({
    launcher: { pid: process.pid, node, pool, draining: course.draining },
    model: card.name,
    engine: plan.kind,
    redis: redis.views,
    logLinesDropped: droppedLogLines(),
    dispatchers: dispatchers.processes,
    engines: engines.views.map(({ address, ...view }) => ({
      ...view,
      port: 'port' in address ? address.port : null,
      socket: 'socket' in address ? address.socket : null,
      gpus: engines.gpusOf(view.id),
      lastFailure: view.lastFailure ?? null,
      lastCause: view.lastCause ?? null,
      stage: view.stage ?? null,
      outlier: view.outlier ?? null,
      inFlight: dispatchers.inFlight(view.id),
    })),
  });
  return { dispatchers, engines, registry, status };
}

function endInOrder(
  { config, log }: Settings,
  { dispatchers, engines, internal, course }: EndingDeps,
): (why: string) => void {
  // The dispatchers have exited, so no request is in flight.
  const stopEngines = (): Promise<void> => engines.stop(course.orphaned ? ORPHAN_STOP : { settleMs: 0 });
  process.on('disconnect', () => {
    course.orphaned = true;
    setTimeout(() => process.exit(1), ORPHAN_LIMIT_MS).unref();
    void dispatchers.abandon(ORPHAN_ABANDON_MS).then(stopEngines);
  });
  return endWith(
    [
      {
        name: 'drain the dispatchers',
        because: 'running answers need their engines',
        run: () => {
          course.draining = true;
          return course.orphaned
            ? dispatchers.abandon(ORPHAN_ABANDON_MS)
            : dispatchers.drain(config.WORKER_DRAIN_TIMEOUT_MS + 5_000);
        },
      },
      { name: 'stop the engines', because: 'no dispatcher sends to them any more', run: stopEngines },
      { name: 'close the internal port', because: 'it reports the progress of the drain', run: () => internal.close() },
    ],
    config.WORKER_DRAIN_TIMEOUT_MS + config.WORKER_ENGINE_STOP_TIMEOUT_MS + 20_000,
    log,
  );
}

function reloadOnHangup({ readCard, card, log, audit }: Settings, { planFor }: Machine, engines: Engines): void {
  // A signal tells its receiver no name in Node.
  const who: Who = { kind: 'program', name: 'SIGHUP' };
  process.on('SIGHUP', () => {
    try {
      const { card: changed, facts } = readCard();
      if (changed.name !== card.name)
        throw new Error(`the card now names another model, ${changed.name}: restart the worker-launcher`);
      log.info({ model: card.name }, 'reading the model card again');
      void engines.reload(changed, planFor(changed));
      audit.record({ act: 'card.reloaded', ...facts, who, result: 'done' });
    } catch (cause) {
      log.error({ cause }, 'the changed model card cannot be used: the launcher keeps the old one');
      const why = cause instanceof Error ? cause.message : String(cause);
      audit.record({ act: 'card.reloaded', what: card.name, who, result: 'refused', why });
    }
  });
}

launch().catch((error: unknown) => {
  const reason =
    typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  process.stderr.write(`worker-launcher: ${reason}\n`);
  process.exit(1);
});
