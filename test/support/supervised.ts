import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineCommand } from '../../worker-launcher/engine/command.ts';
import { EngineLedger } from '../../worker-launcher/engine/ledger.ts';
import type { CrashReason, Limits } from '../../worker-launcher/engine/state.ts';
import { EngineSupervisor, type EngineView } from '../../worker-launcher/engine/supervisor.ts';
import type { StallLimits } from '../../worker-launcher/engine/watch.ts';
import { eventually } from './eventually.ts';
import { silentLog } from './silent-log.ts';

const SCRIPT = fileURLToPath(new URL('./fake-vllm.mjs', import.meta.url));

/** How a supervised engine of the tests is started; see the script for its arguments. */
export function fakeVllm(port: number, args: readonly string[]): EngineCommand {
  return { file: process.execPath, argv: [SCRIPT, '--port', String(port), ...args], env: { PATH: '/usr/bin:/bin' } };
}

export interface Supervised extends AsyncDisposable {
  readonly supervisor: EngineSupervisor;
  readonly views: EngineView[];
  readonly restarts: CrashReason[];
  /** what the dispatcher would say is in flight */
  load: number;
  /** how often the supervisor asked for it */
  loadReads: number;
  /** asks the engine process one of its script's pages */
  page(path: string): Promise<string>;
  until(state: EngineView['state']): Promise<EngineView>;
}

const QUICK: Limits = {
  startMs: 10_000,
  drainMs: 10_000,
  settleMs: 0,
  stopMs: 5_000,
  probes: 2,
  suspectMs: 10_000,
  backoffMs: 50,
  backoffCapMs: 200,
  stableMs: 60_000,
};

/** A supervisor with quick limits over a fake engine; ended with its scope, whatever state it is in. */
export async function supervise(options: {
  readonly args?: readonly string[];
  readonly command?: (port: number) => EngineCommand;
  readonly limits?: Partial<Limits>;
  readonly stall?: Partial<StallLimits>;
}): Promise<Supervised> {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-state-'));
  const views: EngineView[] = [];
  const restarts: CrashReason[] = [];
  const supervisor = new EngineSupervisor({
    id: 'engine-0',
    model: 'some-model',
    slots: { text: 2, image: 1 },
    command: options.command ?? ((port) => fakeVllm(port, options.args ?? [])),
    limits: { ...QUICK, ...options.limits },
    stall: { stallMs: 5_000, hangMs: 20_000, idleCanaryMs: 30_000, ...options.stall },
    probes: { healthMs: 500, canaryMs: 5_000 },
    ledger: new EngineLedger(folder, silentLog),
    inFlight: () => {
      supervised.loadReads += 1;
      return supervised.load;
    },
    onChange: (view) => views.push(view),
    onRestart: (reason) => restarts.push(reason),
    log: silentLog,
  });
  const supervised: Supervised = {
    supervisor,
    views,
    restarts,
    load: 0,
    loadReads: 0,
    page: async (path) => (await fetch(`http://127.0.0.1:${String(supervisor.view.port)}${path}`)).text(),
    until: (state) =>
      eventually(`engine ${state}`, () => (supervisor.view.state === state ? supervisor.view : undefined)),
    async [Symbol.asyncDispose]() {
      await supervisor.stop({ drainMs: 0, settleMs: 0, stopMs: 0 });
      await rm(folder, { recursive: true, force: true });
    },
  };
  supervisor.start();
  return supervised;
}
