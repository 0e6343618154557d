import type { EngineReport } from '#contract/registry';
import { monotonic, type Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { EngineAddress } from './address.ts';
import { Checkup } from './checkup.ts';
import type { EngineCommand } from './command.ts';
import { EngineHistory } from './history.ts';
import type { EngineLedger } from './ledger.ts';
import { EngineLife } from './life.ts';
import { describeOutlier, type Outlier } from './outlier-case.ts';
import type { ProbeTimes } from './probe.ts';
import {
  BEFORE_FIRST_START,
  crashReason,
  step,
  type CrashReason,
  type EngineEvent,
  type EngineState,
  type Limits,
  type OutlierReason,
} from './state.ts';
import type { StallLimits } from './watch.ts';

/** The public state of an engine. */
export interface EngineView extends Pick<EngineReport, 'id' | 'model' | 'pid' | 'state' | 'slots'> {
  readonly address: EngineAddress;
  readonly restarts: number;
  /** cause of its last failure, in a sentence; absent if it never failed */
  readonly lastFailure: string | undefined;
  /** the same in a word */
  readonly lastCause: string | undefined;
  /** progress of its start, for people; absent once it is ready */
  readonly stage: string | undefined;
  readonly wasReady: boolean;
  /** why it is out of dispatch, with figures, if it does worse than its siblings */
  readonly outlier: Outlier | undefined;
}

export interface SupervisorDeps {
  readonly id: string;
  readonly model: string;
  readonly slots: EngineReport['slots'];
  readonly address: EngineAddress;
  /** for the next start */
  readonly command: () => EngineCommand;
  /** called when it exits because of its arguments; true if the next command leaves out what it refused */
  readonly adapt?: (lines: readonly string[]) => boolean;
  readonly limits: Limits;
  readonly stall: StallLimits;
  readonly probes: ProbeTimes;
  readonly ledger: EngineLedger;
  /** our requests on this engine, of both kinds */
  readonly inFlight: () => number;
  /** whether a short generation of this duration, on an otherwise idle engine, is far slower than its siblings' */
  readonly isSlow?: (tookMs: number) => boolean;
  readonly onChange: (view: EngineView) => void;
  readonly onRestart: (reason: CrashReason) => void;
  readonly onOutlier?: (reason: OutlierReason) => void;
  readonly log: Log;
  readonly clock?: Clock;
}

interface Running {
  readonly life: EngineLife;
  readonly checkup: Checkup;
}

/** Pause between two checks: of an engine that is warming, ready or suspect, and of one in any other state. */
const IN_SERVICE_TURN_MS = 1_000;
const CHANGING_TURN_MS = 100;

/** Keeps one engine process running: owns its process group, its guard, its checkup and the timer. */
export class EngineSupervisor {
  readonly #deps: SupervisorDeps;
  readonly #clock: Clock;
  readonly #history: EngineHistory;
  #limits: Limits;
  #state: EngineState = BEFORE_FIRST_START;
  #running: Running | undefined;
  #timer: NodeJS.Timeout | undefined;
  #outlier: Outlier | undefined;
  #doubting = false;
  /** time limit for a few tokens after a silence, in milliseconds */
  #patienceMs: number | undefined;
  readonly #onStopped: (() => void)[] = [];

  constructor(deps: SupervisorDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? monotonic;
    this.#history = new EngineHistory(deps.id, deps.log);
    this.#limits = deps.limits;
  }

  get view(): EngineView {
    const { id, model, slots, address } = this.#deps;
    const { kind } = this.#state;
    return {
      id,
      model,
      slots,
      state: kind,
      address,
      pid: this.#running?.life.pid ?? null,
      ...this.#history.of(kind),
      outlier: this.#outlier,
    };
  }

  /** duration of its fastest short generation since its start, in milliseconds; Infinity before the first */
  get bestCanaryMs(): number {
    return this.#running?.life.probe.bestMs ?? Infinity;
  }

  /** the engine's own page of metrics, a few seconds old; absent while it is not in service */
  get metricsPage(): string | undefined {
    return this.#state.kind === 'ready' || this.#state.kind === 'suspect' ? this.#running?.checkup.page : undefined;
  }

  /** Starts the engine; also after a finished `stop`. */
  start(): void {
    this.#apply('start');
    this.#turn();
  }

  /** Takes it out of service until the next `start`, because its GPU is broken. @param reason for people */
  async condemn(reason: string): Promise<void> {
    await this.stop({ drainMs: 0, settleMs: 0, stopMs: 0 });
    this.#limits = this.#deps.limits;
    this.#history.condemned(reason);
    this.#deps.onChange(this.view);
  }

  /** A dispatcher could not reach it: the next probe runs immediately. */
  hint(): void {
    this.#apply('hint');
  }

  /** Takes it out of dispatch because it does worse than its siblings, until a test generation shows that it is healthy. */
  outlier(reason: OutlierReason, figures: Outlier['figures']): void {
    const { kind } = this.#state;
    if (kind !== 'ready' && kind !== 'suspect') return;
    this.#apply(reason);
    if (this.#state.kind !== 'suspect' || this.#state.outlier !== reason || this.#outlier?.reason === reason) return;
    this.#outlier = { reason, figures };
    this.#history.problem(describeOutlier(this.#outlier));
    this.#deps.onOutlier?.(reason);
    this.#deps.log.warn({ engine: this.#deps.id, reason, ...figures }, 'engine taken out of dispatch');
    this.#deps.onChange(this.view);
  }

  /**
   * Requests a few tokens while it is in service, because it sent nothing to new requests, which long answers may explain.
   * @returns false if it did not answer within `withinMs`; undefined if it was in no state to be tested
   */
  async doubt(withinMs: number): Promise<boolean | undefined> {
    const running = this.#running;
    const { kind } = this.#state;
    if (running === undefined || this.#doubting || (kind !== 'ready' && kind !== 'suspect')) return undefined;
    this.#doubting = true;
    this.#patienceMs = withinMs;
    const { event } = await running.life.probe.canary(withinMs);
    this.#doubting = false;
    return this.#running === running ? event !== 'canary_failed' : undefined;
  }

  /**
   * Takes it out of dispatch, lets running answers finish, then ends the process and its entire group.
   * @param limits shorter limits for this stop; a second call may shorten a running stop
   * @returns after all processes of the engine have ended
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
    this.#running?.checkup.turn();
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
    // The first generation was cold; a warm one shows the engine's pace.
    if (before.kind === 'warming' && after.kind === 'ready') void this.#running?.life.probe.canary();
    if (after.kind !== 'suspect' && this.#outlier !== undefined) {
      const { reason } = this.#outlier;
      this.#outlier = undefined;
      if (after.kind === 'ready')
        log.info({ engine: this.#deps.id, reason }, 'engine put back into dispatch: it is healthy');
    }
    // By now all its processes and its shared memory exist.
    if (after.kind === 'warming' || after.kind === 'ready') this.#running?.life.note();
    this.#history.changed(before, after, { pid: this.view.pid, ...this.#deps.address });
    if (after.kind === 'backoff') onRestart(crashReason(before));
    onChange(this.view);
    if (after.kind === 'stopped') for (const resolve of this.#onStopped.splice(0)) resolve();
    // The next check does not wait for the previous state's pause.
    else this.#turnIn(0);
  }

  async #spawn(): Promise<void> {
    let end: EngineEvent = 'exit';
    try {
      end = await this.#run();
    } catch (cause) {
      this.#history.notStarted(cause);
    }
    this.#apply(end);
  }

  /** Runs the process, from spawn until its entire group has ended. */
  async #run(): Promise<EngineEvent> {
    const { id, model, log, address, ledger, probes, command, onChange } = this.#deps;
    this.#history.begins();
    const onLine = (line: string): void => this.#history.heard(line, this.#state);
    const life = new EngineLife({ id, model, address, command: command(), probes, ledger, onLine, log });
    this.#running = { life, checkup: this.#checkupOf(life) };
    onChange(this.view);
    // When its leader exits, it leaves dispatch immediately, before the rest of the group is killed.
    const end = await life.end(() => this.#apply('hint'));
    if (this.#state.kind !== 'draining') this.#history.ended(end, this.#state, this.#limits.startMs);
    this.#running = undefined;
    return end.code === 2 && this.#deps.adapt?.(end.lines) !== true ? 'exit_bad_flags' : 'exit';
  }

  #signal(effect: 'terminate' | 'kill'): void {
    this.#running?.life.signal(effect);
  }

  #checkupOf(life: EngineLife): Checkup {
    const { stall, inFlight, isSlow = () => false } = this.#deps;
    return new Checkup({
      life,
      stall,
      inFlight,
      isSlow,
      state: () => this.#state,
      isCurrent: () => this.#running?.life === life,
      patienceMs: () => this.#patienceMs,
      onProblem: (problem) => this.#history.problem(problem),
      onEvent: (event) => this.#apply(event),
      clock: this.#clock,
    });
  }
}

function turnPauseMs({ kind }: EngineState): number {
  return kind === 'ready' || kind === 'suspect' || kind === 'warming' ? IN_SERVICE_TURN_MS : CHANGING_TURN_MS;
}
