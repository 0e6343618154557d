import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { parseCatalog, type Catalog, type ModelCard } from '#contract/model-card';
import { endWith } from '#runtime/lifecycle';
import { createLog, type Log } from '#runtime/log';
import { connectRedis, redisAnswers } from '#runtime/redis';
import { readYamlFolder } from '#runtime/yaml-folder';
import { loadConfig, type WorkerConfig } from './config.ts';
import { Dispatchers } from './dispatchers.ts';
import { engineCommand } from './engine/command.ts';
import { EngineLedger } from './engine/ledger.ts';
import type { Limits } from './engine/state.ts';
import { EngineSupervisor } from './engine/supervisor.ts';
import type { StallLimits } from './engine/watch.ts';
import { planEngines, readMachineFacts } from './engine-plan.ts';
import { startInternalServer, type LauncherStatus } from './http.ts';
import { createMetrics } from './metrics.ts';

/** Composition root of the worker-launcher: settings, wiring, start, drain. */

const REDIS_WITHIN_MS = 5_000;
const PROBES = { healthMs: 5_000, canaryMs: 60_000 } as const;
/** Without the process that started us, everything is over within this time. */
const ORPHAN_LIMIT_MS = 8_000;
const ORPHAN_ABANDON_MS = 2_000;
const ORPHAN_STOP = { drainMs: 0, settleMs: 0, stopMs: 2_000 } as const;

function limitsFrom(config: WorkerConfig): Limits {
  return {
    startMs: config.WORKER_START_TIMEOUT_MS,
    drainMs: config.WORKER_DRAIN_TIMEOUT_MS,
    settleMs: 500,
    stopMs: config.WORKER_ENGINE_STOP_TIMEOUT_MS,
    probes: 3,
    suspectMs: 90_000,
    backoffMs: 1_000,
    backoffCapMs: 60_000,
    stableMs: 60_000,
  };
}

/** @param onCpu vLLM without a GPU, where one step over a new picture takes up to ten seconds */
function stallLimitsFrom(config: WorkerConfig, onCpu: boolean): StallLimits {
  const stallMs = config.WORKER_STALL_MS ?? (onCpu ? 30_000 : 5_000);
  return { stallMs, hangMs: config.WORKER_HANG_MS ?? 4 * stallMs, idleCanaryMs: config.WORKER_IDLE_CANARY_MS };
}

/** @throws Error that lists the cards when it is not clear which one is meant */
function chooseCard(catalog: Catalog, name: string | undefined): ModelCard {
  const card = name === undefined && catalog.cards.length === 1 ? catalog.cards[0] : catalog.find(name ?? '');
  if (card !== undefined) return card;
  const names = catalog.cards.map((known) => known.name).join(', ');
  throw new Error(`set WORKER_MODEL to one of the model cards: ${names}`);
}

async function requireRedis(url: string, log: Log): Promise<void> {
  const redis = connectRedis(url, 'patient', 'launcher-check', log);
  try {
    await redisAnswers(redis, REDIS_WITHIN_MS);
  } finally {
    redis.disconnect();
  }
}

async function launch(): Promise<void> {
  const startedByParent = process.connected === true;
  const config = loadConfig(process.env);
  const log = createLog('worker-launcher', config.WORKER_LOG_LEVEL);
  const card = chooseCard(parseCatalog(readYamlFolder(config.WORKER_MODELS_DIR)), config.WORKER_MODEL);
  const plan = planEngines(config, card, await readMachineFacts(process.env));
  const ledger = new EngineLedger(config.WORKER_STATE_DIR, log);
  await requireRedis(config.WORKER_REDIS_URL, log);
  const swept = await ledger.sweep();
  if (swept.length > 0) log.warn({ groups: swept }, 'ended engines that a former launcher left');

  let draining = false;
  const supervisors = new Map<string, EngineSupervisor>();
  const dispatchers = new Dispatchers({
    entryPath: fileURLToPath(new URL('./dispatch/main.js', import.meta.url)),
    engineIds: plan.engines.map(({ id }) => id),
    env: process.env,
    onSuspect: (engine) => supervisors.get(engine)?.hint(),
    log,
  });
  const status = (): LauncherStatus => ({
    launcher: { pid: process.pid, node: config.WORKER_NODE, pool: config.WORKER_POOL, draining },
    model: card.name,
    engine: plan.kind,
    dispatchers: dispatchers.processes,
    engines: [...supervisors.values()].map(({ view }) => ({
      ...view,
      port: view.port ?? null,
      lastFailure: view.lastFailure ?? null,
      lastCause: view.lastCause ?? null,
      stage: view.stage ?? null,
      inFlight: dispatchers.inFlight(view.id),
    })),
  });
  const registry = new Registry();
  const metrics = createMetrics(registry, () => status().engines);

  for (const { id, gpu } of plan.engines) {
    const supervisor = new EngineSupervisor({
      id,
      model: card.name,
      slots: plan.slots,
      ledger,
      log,
      limits: limitsFrom(config),
      stall: stallLimitsFrom(config, plan.kind === 'vllm' && gpu === undefined),
      probes: PROBES,
      command: (port) =>
        engineCommand(card, {
          kind: plan.kind,
          simulatorPath: fileURLToPath(new URL('./simulator/main.js', import.meta.url)),
          port,
          slots: plan.slots,
          weights: config.WORKER_WEIGHTS,
          extraArgs: config.WORKER_ENGINE_ARGS.split(/\s+/).filter((arg) => arg !== ''),
          gpus: gpu === undefined ? undefined : [gpu],
          env: process.env,
        }),
      inFlight: () => {
        const { text, image } = dispatchers.inFlight(id);
        return text + image;
      },
      onChange: ({ model, pid, port, state, slots }) => {
        if (port !== undefined) dispatchers.update({ id, model, pid, port, state, slots });
      },
      onRestart: (reason) => metrics.countRestart(reason),
    });
    supervisors.set(id, supervisor);
  }
  const internal = await startInternalServer(config.WORKER_INTERNAL_HOST, config.WORKER_INTERNAL_PORT, {
    status,
    metrics: registry,
  });

  let orphaned = false;
  const stopEngines = (): Promise<unknown> => {
    // The dispatchers are gone, and with them what was in flight.
    const limits = orphaned ? ORPHAN_STOP : { settleMs: 0 };
    return Promise.all([...supervisors.values()].map((supervisor) => supervisor.stop(limits)));
  };
  process.on('disconnect', () => {
    orphaned = true;
    setTimeout(() => process.exit(1), ORPHAN_LIMIT_MS).unref();
    void dispatchers.abandon(ORPHAN_ABANDON_MS).then(stopEngines);
  });
  const end = endWith(
    [
      {
        name: 'drain the dispatchers',
        because: 'running answers need their engines',
        run: () => {
          draining = true;
          return orphaned
            ? dispatchers.abandon(ORPHAN_ABANDON_MS)
            : dispatchers.drain(config.WORKER_DRAIN_TIMEOUT_MS + 5_000);
        },
      },
      { name: 'stop the engines', because: 'nobody sends to them any more', run: stopEngines },
      { name: 'close the internal port', because: 'until here it tells what goes on', run: () => internal.close() },
    ],
    config.WORKER_DRAIN_TIMEOUT_MS + config.WORKER_ENGINE_STOP_TIMEOUT_MS + 20_000,
    log,
  );
  if (startedByParent && !process.connected) {
    end('the parent is gone');
    return;
  }
  for (const supervisor of supervisors.values()) supervisor.start();
  dispatchers.start();
  log.info({ model: card.name, engine: plan.kind, engines: plan.engines.length, port: internal.port }, 'launched');
}

launch().catch((error: unknown) => {
  const reason =
    typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  process.stderr.write(`worker-launcher: ${reason}\n`);
  process.exit(1);
});
