import { createServer } from 'node:net';
import type { EngineReport } from '#contract/registry';
import { monotonic, type Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { EngineCommand } from './command.ts';
import { startGuard, type Guard } from './guard.ts';
import type { EngineLedger } from './ledger.ts';
import { EngineProbe, type ProbeTimes } from './probe.ts';
import { startProcess, type EngineProcess } from './process.ts';
import { groupGone, signalGroup, signalProcess } from './process-group.ts';
import {
  BEFORE_FIRST_START,
  crashReason,
  probeOf,
  step,
  type CrashReason,
  type EngineEvent,
  type EngineState,
  type Limits,
} from './state.ts';

/** What others may know of an engine at any time. */
export interface EngineView extends Omit<EngineReport, 'inFlight' | 'port'> {
  /** chosen anew for each start; absent before the first */
  readonly port: number | undefined;
  readonly restarts: number;
  /** why it last failed, in a sentence; absent if it never did */
  readonly lastFailure: string | undefined;
  readonly wasReady: boolean;
}

export interface SupervisorDeps {
  readonly id: string;
  readonly model: string;
  readonly slots: EngineReport['slots'];
  readonly command: (port: number) => EngineCommand;
  readonly limits: Limits;
  readonly probes: ProbeTimes;
  readonly ledger: EngineLedger;
  /** requests of ours on this engine, of both kinds */
  readonly inFlight: () => number;
  readonly onChange: (view: EngineView) => void;
  readonly onRestart: (reason: CrashReason) => void;
  readonly log: Log;
  readonly clock?: Clock;
}

interface Running {
  readonly process: EngineProcess;
  readonly probe: EngineProbe;
  readonly guard: Guard;
  probing: boolean;
  /** its leading process ended: the number may soon be another's, so nothing is signalled any more */
  ended: boolean;
}

/** Pause between two looks at an engine in service or in doubt, and at one that is about to change. */
const IN_SERVICE_TURN_MS = 1_000;
const CHANGING_TURN_MS = 100;
/** A killed group that is still there after this is reported: a process that the kernel cannot end. */
const GROUP_GONE_MS = 10_000;
/** From this failure in a row on, each is an error in the log. */
const LOUD_FROM_ATTEMPT = 5;

/** Keeps one engine process running: owns its process group, its guard, its probes and the timer. */
export class EngineSupervisor {
  readonly #deps: SupervisorDeps;
  readonly #clock: Clock;
  #limits: Limits;
  #state: EngineState = BEFORE_FIRST_START;
  #running: Running | undefined;
  #port: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #restarts = 0;
  #lastFailure: string | undefined;
  #lastProblem: string | undefined;
  #wasReady = false;
  readonly #onStopped: (() => void)[] = [];

  constructor(deps: SupervisorDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? monotonic;
    this.#limits = deps.limits;
  }

  get view(): EngineView {
    const { id, model, slots } = this.#deps;
    const { kind } = this.#state;
    return {
      id,
      model,
      slots,
      state: kind,
      port: this.#port,
      pid: this.#running?.process.pid ?? null,
      restarts: this.#restarts,
      lastFailure: this.#lastFailure,
      wasReady: this.#wasReady,
    };
  }

  start(): void {
    this.#turn();
  }

  /** A dispatcher could not reach it: it is looked at now. */
  hint(): void {
    this.#apply('hint');
  }

  /**
   * Out of dispatch, running answers finish, then the process and its whole group end.
   * @param limits shorter ones for this stop; a second call may shorten a stop that is under way
   * @returns when nothing of the engine is left
   */
  stop(limits: Partial<Pick<Limits, 'drainMs' | 'stopMs' | 'settleMs'>> = {}): Promise<void> {
    this.#limits = { ...this.#limits, ...limits };
    this.#apply('drain');
    if (this.#state.kind === 'stopped' && this.#running === undefined) return Promise.resolve();
    return new Promise((resolve) => this.#onStopped.push(resolve));
  }

  #turn(): void {
    if (this.#state.kind === 'draining' && this.#deps.inFlight() === 0) this.#apply('idle');
    this.#apply('tick');
    this.#probe();
    if (this.#state.kind === 'stopped') return;
    this.#turnIn(turnPauseMs(this.#state));
  }

  #turnIn(pauseMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#turn(), pauseMs);
  }

  #apply(event: EngineEvent): void {
    const before = this.#state;
    const [after, ...effects] = step(before, event, this.#clock(), this.#limits);
    this.#state = after;
    if (after.kind !== before.kind) this.#changed(before, after);
    for (const effect of effects) {
      if (effect === 'spawn') void this.#spawn();
      else this.#signal(effect);
    }
  }

  #changed(before: EngineState, after: EngineState): void {
    const { log, onRestart, onChange } = this.#deps;
    if (after.kind === 'ready') {
      this.#wasReady = true;
      this.#lastProblem = undefined;
      if (this.#running?.process.pid !== undefined) this.#deps.ledger.note(this.#deps.id, this.#running.process.pid);
    }
    const failed = after.kind === 'backoff' || (after.kind === 'stopped' && after.why === 'gave_up');
    if (after.kind === 'backoff') {
      this.#restarts += 1;
      onRestart(crashReason(before));
    }
    const fields = { engine: this.#deps.id, state: after.kind, pid: this.view.pid, port: this.#port };
    if (!failed) log.info(fields, `engine ${after.kind}`);
    else {
      const loud = after.kind === 'stopped' || after.attempt >= LOUD_FROM_ATTEMPT;
      const next =
        after.kind === 'stopped' ? 'not started again' : `failure ${String(after.attempt)}, will be restarted`;
      const told = { ...fields, reason: this.#lastFailure, why: crashReason(before) };
      if (loud) log.error(told, `engine failed: ${next}`);
      else log.warn(told, `engine failed: ${next}`);
    }
    onChange(this.view);
    if (after.kind === 'stopped') for (const resolve of this.#onStopped.splice(0)) resolve();
    // The next look does not wait for the pause of the former state.
    else this.#turnIn(0);
  }

  async #spawn(): Promise<void> {
    let end: EngineEvent = 'exit';
    try {
      const port = await freePort();
      if (this.#state.kind === 'starting') end = await this.#run(port);
    } catch (cause) {
      this.#lastFailure = `could not be started: ${String(cause)}`;
    }
    this.#apply(end);
  }

  /** One life of the process, from spawn until nothing of its group is left. */
  async #run(port: number): Promise<EngineEvent> {
    const { id, model, log, ledger, probes, command } = this.#deps;
    const guard = startGuard();
    let process: EngineProcess;
    try {
      process = startProcess(command(port), (line) => log.debug({ engine: id, line }, 'engine output'));
      if (process.pid !== undefined) guard.watch(process.pid);
    } catch (cause) {
      guard.release();
      throw cause;
    }
    const running = { process, guard, probe: new EngineProbe(port, model, probes), probing: false, ended: false };
    this.#port = port;
    this.#running = running;
    if (process.pid !== undefined) ledger.note(id, process.pid);
    this.#deps.onChange(this.view);
    return await this.#followToEnd(running);
  }

  async #followToEnd(running: Running): Promise<EngineEvent> {
    const { log, ledger, id } = this.#deps;
    const { process, guard, probe } = running;
    const { code, how } = await process.exited;
    running.ended = true;
    // At once out of dispatch, before the rest is cleared away.
    this.#apply('hint');
    if (process.pid !== undefined) {
      // The leader's end leaves vLLM's engine core on the GPU for good.
      signalGroup(process.pid, 'SIGKILL');
      if (!(await groupGone(process.pid, GROUP_GONE_MS)))
        log.error({ engine: id, pgid: process.pid }, 'processes of a killed engine are still there');
      ledger.forget(id);
    }
    guard.release();
    await probe.close();
    const lastWords = await process.lastWords();
    if (this.#state.kind !== 'draining') this.#lastFailure = this.#describe(how, lastWords);
    this.#running = undefined;
    return code === 2 ? 'exit_bad_flags' : 'exit';
  }

  #describe(how: string, lastWords: string | undefined): string {
    const reason = crashReason(this.#state);
    const verdict = {
      start_failed: `did not start: ${how}`,
      start_timeout: `was not ready within ${String(this.#limits.startMs)} ms`,
      exited: how,
      unresponsive: 'did not answer its probes and was killed',
    }[reason];
    const problem = reason === 'exited' ? undefined : this.#lastProblem;
    return [verdict, lastWords ?? problem].filter((part) => part !== undefined).join('; ');
  }

  #signal(effect: 'terminate' | 'kill'): void {
    const pid = this.#running?.process.pid;
    if (pid === undefined || this.#running?.ended === true) return;
    if (effect === 'terminate') signalProcess(pid, 'SIGTERM');
    else signalGroup(pid, 'SIGKILL');
  }

  #probe(): void {
    const running = this.#running;
    const question = probeOf(this.#state);
    if (running === undefined || running.ended || running.probing || question === undefined) return;
    running.probing = true;
    void running.probe[question]().then(({ event, problem }) => {
      running.probing = false;
      if (this.#running !== running || running.ended) return;
      // What a killed one says is our own doing.
      const killed = 'killed' in this.#state && this.#state.killed;
      if (problem !== undefined && !killed) this.#lastProblem = problem;
      // An answer from before the state changed may be no answer to its question.
      if (event !== undefined && probeOf(this.#state) === question) this.#apply(event);
      if (probeOf(this.#state) !== question) this.#probe();
    });
  }
}

function turnPauseMs({ kind }: EngineState): number {
  return kind === 'ready' || kind === 'suspect' || kind === 'warming' ? IN_SERVICE_TURN_MS : CHANGING_TURN_MS;
}

/** A port of the loopback address that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
