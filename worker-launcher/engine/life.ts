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
  /** the last of its output, oldest first */
  readonly lines: readonly string[];
}

/** A killed group that is still there after this is reported: a process that the kernel cannot end. */
const GROUP_GONE_MS = 10_000;

/** One life of an engine process: its group, its guard, its connections, and what it would leave on the machine. */
export class EngineLife {
  readonly #deps: LifeDeps;
  readonly #guard: Guard;
  readonly #process: EngineProcess;
  readonly #files = new Set<string>();
  readonly probe: EngineProbe;
  /** its leading process ended: the number may soon be another's, so nothing is signalled any more */
  ended = false;

  /** Spawns it. @throws what `spawn` throws; Error when something else stands where its socket is to be */
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

  /** also the number of its session and process group; undefined when it could not be spawned */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Notes its processes and files of this moment, for whoever clears up after a killed launcher. */
  note(): void {
    if (this.pid === undefined || this.ended) return;
    for (const path of sharedMemoryOf(this.pid)) this.#remember(path);
    this.#deps.ledger.note(this.#deps.id, this.pid, [...this.#files]);
  }

  signal(effect: 'terminate' | 'kill'): void {
    if (this.pid === undefined || this.ended) return;
    // What it maps can be read only while it lives.
    this.note();
    if (effect === 'terminate') signalProcess(this.pid, 'SIGTERM');
    else signalGroup(this.pid, 'SIGKILL');
  }

  /**
   * Waits for the end of its leading process, then clears away the rest: no successor starts beside it.
   * @param onLeaderGone called at once when the leading process has ended
   */
  async end(onLeaderGone: () => void): Promise<LifeEnd> {
    const { id, ledger, log } = this.#deps;
    const { code, how } = await this.#process.exited;
    const pid = this.pid;
    if (pid !== undefined) this.note();
    this.ended = true;
    onLeaderGone();
    if (pid !== undefined) {
      // The leader's end leaves vLLM's engine core on the GPU for good.
      signalGroup(pid, 'SIGKILL');
      while (!(await groupGone(pid, GROUP_GONE_MS)))
        log.error(
          { engine: id, pgid: pid },
          'processes of a killed engine are still there: no new start until they are gone',
        );
      const cleared = clearLeftovers(this.#files);
      if (cleared.length > 0) log.info({ engine: id, files: cleared.length }, 'cleared what a dead engine left');
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
