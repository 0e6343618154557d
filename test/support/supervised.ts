import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { engineAddress, type EngineAddress } from '../../worker-launcher/engine/address.ts';
import type { EngineCommand } from '../../worker-launcher/engine/command.ts';
import { EngineLedger } from '../../worker-launcher/engine/ledger.ts';
import type { CrashReason, Limits } from '../../worker-launcher/engine/state.ts';
import { EngineSupervisor, type EngineView } from '../../worker-launcher/engine/supervisor.ts';
import type { StallLimits } from '../../worker-launcher/engine/watch.ts';
import { askEngine } from './engine-request.mjs';
import { eventually } from './eventually.ts';
import { silentLog } from './silent-log.ts';

const SCRIPT = fileURLToPath(new URL('./fake-vllm.mjs', import.meta.url));

/** How a supervised engine of the tests is started; see the script for its arguments. */
export function fakeVllm(socket: string, args: readonly string[]): EngineCommand {
  return { file: process.execPath, argv: [SCRIPT, '--uds', socket, ...args], env: { PATH: '/usr/bin:/bin' } };
}

export interface Supervised extends AsyncDisposable {
  readonly supervisor: EngineSupervisor;
  /** where it listens */
  readonly socket: string;
  readonly views: EngineView[];
  readonly restarts: CrashReason[];
  /** the dispatcher's reported requests in flight */
  load: number;
  /** how often the supervisor read it */
  loadReads: number;
  /** requests one of the pages of the engine's script */
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

/** A supervisor with short limits over a fake engine; stopped with its scope, in any state. */
export async function supervise(options: {
  readonly args?: readonly string[];
  readonly command?: (socket: string) => EngineCommand;
  readonly limits?: Partial<Limits>;
  readonly stall?: Partial<StallLimits>;
}): Promise<Supervised> {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-state-'));
  const address = engineAddress(folder, 'engine-0', undefined);
  const socket = socketOf(address);
  const views: EngineView[] = [];
  const restarts: CrashReason[] = [];
  const supervisor = new EngineSupervisor({
    id: 'engine-0',
    model: 'some-model',
    slots: { text: 2, image: 1 },
    address,
    command: () => options.command?.(socket) ?? fakeVllm(socket, options.args ?? []),
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
    socket,
    views,
    restarts,
    load: 0,
    loadReads: 0,
    page: async (path) => (await askEngine({ socket }, path)).text(),
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

function socketOf(address: EngineAddress): string {
  if ('socket' in address) return address.socket;
  throw new Error('an engine without a port has a socket');
}
