import type { Log } from '#runtime/log';
import { clearSocket, type EngineAddress } from './address.ts';
import type { EngineCommand } from './command.ts';
import { startGuard, type Guard } from './guard.ts';
import { clearLeftovers, rendezvousIn, sharedMemoryOf } from './leftovers.ts';
import type { EngineLedger } from './ledger.ts';
import { EngineProbe, type ProbeTimes } from './probe.ts';
import { startProcess, type EngineProcess } from './process.ts';
import { groupGone, signalGroup, signalProcess } from './process-group.ts';

export interface LifeDeps {
  readonly id: string;
  readonly model: string;
  readonly address: EngineAddress;
  readonly command: EngineCommand;
  readonly probes: ProbeTimes;
  readonly ledger: EngineLedger;
  /** each line of its output, secrets masked */
  readonly onLine: (line: string) => void;
  readonly log: Log;
}

export interface LifeEnd {
  readonly code: number | null;
  /** for people */
  readonly how: string;
  /** the last lines of its output, oldest first */
  readonly lines: readonly string[];
}

/** After this time a killed group that still exists is logged: the kernel cannot end one of its processes. */
const GROUP_GONE_MS = 10_000;

/** One engine process: its group, its guard, its connections, and the files that it would leave on the machine. */
export class EngineLife {
  readonly #deps: LifeDeps;
  readonly #guard: Guard;
  readonly #process: EngineProcess;
  readonly #files = new Set<string>();
  readonly probe: EngineProbe;
  /** its leading process ended: no more signals are sent, because the system may reuse the pid */
  ended = false;

  /** Spawns it. @throws what `spawn` throws; Error when another file has the path of its socket */
  constructor(deps: LifeDeps) {
    this.#deps = deps;
    clearSocket(deps.address);
    this.#guard = startGuard();
    try {
      this.#process = startProcess(deps.command, (line) => this.#take(line));
      if (this.pid !== undefined) this.#guard.watch(this.pid);
    } catch (cause) {
      this.#guard.release();
      throw cause;
    }
    this.probe = new EngineProbe(deps.address, deps.model, deps.probes);
    if ('socket' in deps.address) this.#remember(deps.address.socket);
    this.note();
  }

  /** also the id of its session and process group; undefined if it could not be spawned */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Notes its current processes and files, for the cleanup after a killed launcher. */
  note(): void {
    if (this.pid === undefined || this.ended) return;
    for (const path of sharedMemoryOf(this.pid)) this.#remember(path);
    this.#deps.ledger.note(this.#deps.id, this.pid, [...this.#files]);
  }

  signal(effect: 'terminate' | 'kill'): void {
    if (this.pid === undefined || this.ended) return;
    // Its mapped files can be read only while it runs.
    this.note();
    if (effect === 'terminate') signalProcess(this.pid, 'SIGTERM');
    else signalGroup(this.pid, 'SIGKILL');
  }

  /**
   * Waits for the end of its leading process, then kills the rest of the group, so that no successor starts beside it.
   * @param onLeaderGone called immediately after the leading process has ended
   */
  async end(onLeaderGone: () => void): Promise<LifeEnd> {
    const { id, ledger, log } = this.#deps;
    const { code, how } = await this.#process.exited;
    const pid = this.pid;
    if (pid !== undefined) this.note();
    this.ended = true;
    onLeaderGone();
    if (pid !== undefined) {
      // Without this, vLLM's engine core stays on the GPU after its leader has exited.
      signalGroup(pid, 'SIGKILL');
      while (!(await groupGone(pid, GROUP_GONE_MS)))
        log.error(
          { engine: id, pgid: pid },
          'processes of a killed engine still exist: the launcher restarts the engine only after they have ended',
        );
      const cleared = clearLeftovers(this.#files);
      if (cleared.length > 0) log.info({ engine: id, files: cleared.length }, 'removed the files that an engine left');
      ledger.forget(id);
    }
    this.#guard.release();
    await this.probe.close();
    return { code, how, lines: await this.#process.output() };
  }

  #take(line: string): void {
    const path = rendezvousIn(line);
    if (path !== undefined) this.#remember(path);
    this.#deps.onLine(line);
  }

  #remember(path: string): void {
    if (this.#files.has(path)) return;
    this.#files.add(path);
    this.#guard.note(path);
  }
}
