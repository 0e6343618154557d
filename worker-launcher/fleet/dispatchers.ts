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
  /** the launcher's own environment; a dispatcher gets selected variables of it */
  readonly env: NodeJS.ProcessEnv;
  /** a dispatcher could not reach this engine */
  readonly onSuspect: (engine: string) => void;
  /** an answer of this engine failed, or is complete */
  readonly onAnswered: (engine: string, status: number) => void;
  readonly log: Log;
  /** a dispatcher without a message for this long is replaced, in milliseconds */
  readonly silentMs?: number;
}

type Load = EngineReport['inFlight'];
const NO_LOAD: Load = { text: 0, image: 0 };
/** One dispatcher's event loop can relay the chunks of about this many engines. */
const ENGINES_EACH = 4;

/** All dispatcher processes of this launcher: each serves up to four engines; the launcher restarts one that exits. */
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

  /** Sends the engine's state to its dispatcher; a new engine is assigned to one first. */
  update(entry: EngineEntry): void {
    (this.#childOf.get(entry.id) ?? this.#place(entry.id)).update(entry);
  }

  /** Assigns the first dispatcher with room, or starts another one. */
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

  /** Requests in flight on an engine, as last reported; none after its dispatcher has exited. */
  inFlight(engine: string): Load {
    return this.#childOf.get(engine)?.load(engine) ?? NO_LOAD;
  }

  /** Its dispatcher's last report on its pace, up to a second old. */
  intake(engine: string): Intake | undefined {
    return this.#childOf.get(engine)?.intake(engine);
  }

  /** The engine answers no request: those without a byte of an answer run elsewhere. */
  relieve(engine: string, stuckMs: number): void {
    this.#childOf.get(engine)?.relieve(engine, stuckMs);
  }

  get processes(): { readonly pid: number | null; readonly incarnation: string | null }[] {
    return this.#children.map(({ pid, incarnation }) => ({ pid: pid ?? null, incarnation: incarnation ?? null }));
  }

  /**
   * The dispatchers stop pulling jobs and exit when no request is in flight.
   * @param limitMs after this time they are killed
   */
  async drain(limitMs: number): Promise<void> {
    await Promise.all(this.#children.map((child) => child.drain(limitMs)));
  }

  /** The dispatchers give up all attempts, report that to the gateways, and exit; after `limitMs` they are killed. */
  async abandon(limitMs: number): Promise<void> {
    await Promise.all(this.#children.map((child) => child.abandon(limitMs)));
  }
}

const RESTART_MS = 200;
const RESTART_CAP_MS = 5_000;
/** A dispatcher silent for this long hangs or spins: even a busy machine delays a process less, in milliseconds. */
const SILENT_MS = 15_000;
/** Time for a dispatcher after its launcher has exited, in seconds: more than it needs to report to the gateways. */
const ORPHAN_GRACE_SECONDS = 10;
/** After this lifetime, in milliseconds, earlier exits are forgotten. */
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
  /** number of engines that it serves */
  places = 0;
  /** incarnation of the running process; absent until it is ready */
  incarnation: string | undefined;

  constructor(deps: Omit<DispatchersDeps, 'engineIds'>) {
    this.#deps = deps;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const startedAt = performance.now();
    // Its own process group, so that the terminal's Ctrl-C reaches only the launcher, which drains it.
    const child = fork(this.#deps.entryPath, [], {
      detached: true,
      env: this.#deps.env,
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    // The guard kills it if it outlives the launcher.
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
      // A message to an exiting process is an error too, but then `exit` follows.
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
    // Before it is ready it has no jobs and does not listen yet.
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
      if (limitMs > 0)
        this.#deps.log.warn({ dispatcher: child.pid, limitMs }, 'dispatcher did not exit within the limit: killed');
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
    this.#deps.log.error({ dispatcher: pid, reason, waitMs }, 'dispatcher exited: the launcher restarts it');
    this.#restart = setTimeout(() => this.start(), waitMs);
  }

  #watch(child: ChildProcess): void {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs < (this.#deps.silentMs ?? SILENT_MS)) return;
    this.#deps.log.error(
      { dispatcher: child.pid, silentMs: Math.round(silentMs) },
      'dispatcher is silent: killed and restarted',
    );
    child.kill('SIGKILL');
  }

  #take(raw: unknown): void {
    this.#heardAt = performance.now();
    const parsed = FromDispatcher.safeParse(raw);
    if (!parsed.success) {
      this.#deps.log.error({ cause: parsed.error }, 'a dispatcher sent an unknown message');
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
    // After `drained` the process exits, and the exit counts.
  }

  #tellEngines(): void {
    if (this.incarnation !== undefined) this.#tell({ type: 'engines', engines: [...this.#entries.values()] });
  }

  #tell(message: ToDispatcher): void {
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }
}

/** Variables for settings, for traces, for TLS and tokens to Redis and for Node itself; none of the engines'. */
function dispatcherEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const passed =
    /^(WORKER_|OTEL_|NODE_|AZURE_|IDENTITY_)|^(PATH|HOME|LANG|LC_ALL|TZ|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => passed.test(name)));
}
