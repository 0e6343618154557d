import { fork, type ChildProcess } from 'node:child_process';
import type { EngineReport } from '#contract/registry';
import type { Log } from '#runtime/log';
import { startGuard } from '../engine/guard.ts';
import type { Intake } from '../engine/pace.ts';
import { ALIVE_EVERY_MS, FromDispatcher, type EngineEntry, type ToDispatcher } from '../dispatch/link.ts';

export interface DispatchersDeps {
  /** script of the dispatcher process */
  readonly entryPath: string;
  readonly engineIds: readonly string[];
  /** the launcher's own environment, of which a dispatcher gets a chosen part */
  readonly env: NodeJS.ProcessEnv;
  /** a dispatcher could not reach this engine */
  readonly onSuspect: (engine: string) => void;
  /** an answer of this engine failed, or is whole */
  readonly onAnswered: (engine: string, status: number) => void;
  readonly log: Log;
  /** a dispatcher that says nothing for so long is replaced, in milliseconds */
  readonly silentMs?: number;
}

type Load = EngineReport['inFlight'];
const NO_LOAD: Load = { text: 0, image: 0 };
/** One dispatcher's event loop carries the chunks of about this many engines. */
const ENGINES_EACH = 4;

/** All dispatcher processes of this launcher: each serves up to four engines and is started anew when it dies. */
export class Dispatchers {
  readonly #deps: DispatchersDeps;
  readonly #children: DispatcherChild[] = [];
  readonly #childOf = new Map<string, DispatcherChild>();
  #started = false;

  constructor(deps: DispatchersDeps) {
    this.#deps = { ...deps, env: dispatcherEnvironment(deps.env) };
    for (const id of deps.engineIds) this.#place(id);
  }

  start(): void {
    this.#started = true;
    for (const child of this.#children) child.start();
  }

  /** Tells the dispatcher of this engine what it is now; one that was not there at the start gets a place as well. */
  update(entry: EngineEntry): void {
    (this.#childOf.get(entry.id) ?? this.#place(entry.id)).update(entry);
  }

  /** The first that has room, or one more. */
  #place(engine: string): DispatcherChild {
    let child = this.#children.find(({ places }) => places < ENGINES_EACH);
    if (child === undefined) {
      child = new DispatcherChild(this.#deps);
      this.#children.push(child);
      if (this.#started) child.start();
    }
    child.places += 1;
    this.#childOf.set(engine, child);
    return child;
  }

  /** What is in flight on an engine, as last reported; nothing once its dispatcher is gone. */
  inFlight(engine: string): Load {
    return this.#childOf.get(engine)?.load(engine) ?? NO_LOAD;
  }

  /** What its dispatcher knows of its pace, as last reported; a second old. */
  intake(engine: string): Intake | undefined {
    return this.#childOf.get(engine)?.intake(engine);
  }

  /** The engine answers nobody: what waits there without a byte of an answer runs elsewhere. */
  relieve(engine: string, stuckMs: number): void {
    this.#childOf.get(engine)?.relieve(engine, stuckMs);
  }

  get processes(): { readonly pid: number | null; readonly incarnation: string | null }[] {
    return this.#children.map(({ pid, incarnation }) => ({ pid: pid ?? null, incarnation: incarnation ?? null }));
  }

  /**
   * They stop pulling jobs and end when nothing is in flight.
   * @param limitMs then they are killed
   */
  async drain(limitMs: number): Promise<void> {
    await Promise.all(this.#children.map((child) => child.drain(limitMs)));
  }

  /** They give up what is in flight, telling the gateways, and end; those that linger are killed. */
  async abandon(limitMs: number): Promise<void> {
    await Promise.all(this.#children.map((child) => child.abandon(limitMs)));
  }
}

const RESTART_MS = 200;
const RESTART_CAP_MS = 5_000;
/** It stands still, or spins: longer than a machine under load keeps a process waiting, in milliseconds. */
const SILENT_MS = 15_000;
/** What a dispatcher has without its launcher, in seconds: more than it takes by itself to tell the gateways. */
const ORPHAN_GRACE_SECONDS = 10;
/** Alive this long, earlier deaths are forgotten. */
const STABLE_MS = 10_000;

class DispatcherChild {
  readonly #deps: Omit<DispatchersDeps, 'engineIds'>;
  readonly #entries = new Map<string, EngineEntry>();
  #loads: Readonly<Record<string, Load>> = {};
  #intakes: Readonly<Record<string, Intake>> = {};
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #deaths = 0;
  #heardAt = 0;
  #ending = false;
  /** engines that it serves */
  places = 0;
  /** of the running process; absent until it is ready */
  incarnation: string | undefined;

  constructor(deps: Omit<DispatchersDeps, 'engineIds'>) {
    this.#deps = deps;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const startedAt = performance.now();
    // Its own process group: the terminal's Ctrl-C is for the launcher, which drains it.
    const child = fork(this.#deps.entryPath, [], {
      detached: true,
      env: this.#deps.env,
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    // Whatever it does, it does not outlive the launcher.
    const guard = startGuard(ORPHAN_GRACE_SECONDS);
    if (child.pid !== undefined) guard.watch(child.pid);
    this.#heardAt = startedAt;
    const watching = setInterval(() => this.#watch(child), ALIVE_EVERY_MS);
    let ended = false;
    const end = (reason: string): void => {
      if (ended) return;
      ended = true;
      clearInterval(watching);
      guard.release();
      this.#gone(reason, performance.now() - startedAt);
    };
    child.on('message', (raw) => this.#take(raw));
    child.on('error', (error) => {
      // A message to a process that is just ending is an error as well: only one without a process has no exit.
      if (child.pid === undefined) end(error.message);
    });
    child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  }

  update(entry: EngineEntry): void {
    this.#entries.set(entry.id, entry);
    this.#tellEngines();
  }

  load(engine: string): Load | undefined {
    return this.#loads[engine];
  }

  intake(engine: string): Intake | undefined {
    return this.#intakes[engine];
  }

  relieve(engine: string, stuckMs: number): void {
    this.#tell({ type: 'relieve', engine, stuckMs });
  }

  async drain(limitMs: number): Promise<void> {
    // Before it is ready it holds nothing, and does not listen yet.
    if (this.incarnation === undefined) return this.#end(0);
    this.#tell({ type: 'drain' });
    await this.#end(limitMs);
  }

  async abandon(limitMs: number): Promise<void> {
    if (this.#child?.connected === true) this.#child.disconnect();
    await this.#end(limitMs);
  }

  async #end(limitMs: number): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || child.pid === undefined) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const kill = setTimeout(() => {
      if (limitMs > 0) this.#deps.log.warn({ dispatcher: child.pid, limitMs }, 'dispatcher did not end in time');
      child.kill('SIGKILL');
    }, limitMs);
    await exited;
    clearTimeout(kill);
  }

  #gone(reason: string, livedMs: number): void {
    const pid = this.#child?.pid;
    this.#child = undefined;
    this.#loads = {};
    this.#intakes = {};
    this.incarnation = undefined;
    if (this.#ending) return;
    this.#deaths = livedMs >= STABLE_MS ? 1 : this.#deaths + 1;
    const waitMs = Math.min(RESTART_MS * 2 ** (this.#deaths - 1), RESTART_CAP_MS);
    this.#deps.log.error({ dispatcher: pid, reason, waitMs }, 'dispatcher died, will be restarted');
    this.#restart = setTimeout(() => this.start(), waitMs);
  }

  #watch(child: ChildProcess): void {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs < (this.#deps.silentMs ?? SILENT_MS)) return;
    this.#deps.log.error(
      { dispatcher: child.pid, silentMs: Math.round(silentMs) },
      'dispatcher says nothing: replaced',
    );
    child.kill('SIGKILL');
  }

  #take(raw: unknown): void {
    this.#heardAt = performance.now();
    const parsed = FromDispatcher.safeParse(raw);
    if (!parsed.success) {
      this.#deps.log.error({ cause: parsed.error }, 'a dispatcher said what is not in the contract');
      return;
    }
    const message = parsed.data;
    if (message.type === 'ready') {
      this.incarnation = message.incarnation;
      this.#tellEngines();
    } else if (message.type === 'load') this.#loads = message.inFlight;
    else if (message.type === 'suspect') this.#deps.onSuspect(message.engine);
    else if (message.type === 'answered') this.#deps.onAnswered(message.engine, message.status);
    else if (message.type === 'alive') this.#intakes = message.intakes ?? {};
    // `drained` is followed by its exit, which is what counts.
  }

  #tellEngines(): void {
    if (this.incarnation !== undefined) this.#tell({ type: 'engines', engines: [...this.#entries.values()] });
  }

  #tell(message: ToDispatcher): void {
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }
}

/** Settings, what Redis over TLS may need, and what Node itself reads; nothing of the engines. */
function dispatcherEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const passed = /^(WORKER_|NODE_)|^(PATH|HOME|LANG|LC_ALL|TZ|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => passed.test(name)));
}
