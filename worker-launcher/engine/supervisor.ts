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

/** What others may know of an engine at any time. */
export interface EngineView extends Omit<EngineReport, 'inFlight' | 'port' | 'socket'> {
  readonly address: EngineAddress;
  readonly restarts: number;
  /** why it last failed, in a sentence; absent if it never did */
  readonly lastFailure: string | undefined;
  /** the same in a word, after a failed start */
  readonly lastCause: string | undefined;
  /** how far its start is, for people; absent once it is ready */
  readonly stage: string | undefined;
  readonly wasReady: boolean;
  /** out of dispatch because it does worse than its siblings: how, and by which figures */
  readonly outlier: Outlier | undefined;
}

export interface SupervisorDeps {
  readonly id: string;
  readonly model: string;
  readonly slots: EngineReport['slots'];
  readonly address: EngineAddress;
  /** for the next start */
  readonly command: () => EngineCommand;
  /** it ended over its arguments: whether the next command does without what it refused */
  readonly adapt?: (lines: readonly string[]) => boolean;
  readonly limits: Limits;
  readonly stall: StallLimits;
  readonly probes: ProbeTimes;
  readonly ledger: EngineLedger;
  /** requests of ours on this engine, of both kinds */
  readonly inFlight: () => number;
  /** whether a short generation that took so long, on an engine with nothing else to do, is far behind its siblings' */
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

/** Pause between two looks at an engine in service or in doubt, and at one that is about to change. */
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
  /** how long it may take over a few tokens, as it was silent, in milliseconds */
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

  /** of its quickest short generation since its start, in milliseconds; Infinity before the first */
  get bestCanaryMs(): number {
    return this.#running?.life.probe.bestMs ?? Infinity;
  }

  /** the engine's own page of metrics, some seconds old; absent while it is not in service */
  get metricsPage(): string | undefined {
    return this.#state.kind === 'ready' || this.#state.kind === 'suspect' ? this.#running?.checkup.page : undefined;
  }

  /** Also after a `stop` that ended. */
  start(): void {
    this.#apply('start');
    this.#turn();
  }

  /** Out of service until the next `start`: what it runs on is broken. @param reason for people */
  async condemn(reason: string): Promise<void> {
    await this.stop({ drainMs: 0, settleMs: 0, stopMs: 0 });
    this.#limits = this.#deps.limits;
    this.#history.condemned(reason);
    this.#deps.onChange(this.view);
  }

  /** A dispatcher could not reach it: it is looked at now. */
  hint(): void {
    this.#apply('hint');
  }

  /** It does worse than its siblings: out of dispatch until a generation of our own shows that it is well. */
  outlier(reason: OutlierReason, figures: Outlier['figures']): void {
    const { kind } = this.#state;
    if (kind !== 'ready' && kind !== 'suspect') return;
    this.#apply(reason);
    if (this.#state.kind !== 'suspect' || this.#state.outlier !== reason || this.#outlier?.reason === reason) return;
    this.#outlier = { reason, figures };
    this.#history.problem(describeOutlier(this.#outlier));
    this.#deps.onOutlier?.(reason);
    this.#deps.log.warn({ engine: this.#deps.id, reason, ...figures }, 'engine taken out: its siblings do better');
    this.#deps.onChange(this.view);
  }

  /**
   * It has long given nothing to anyone new, which long answers explain: asked for a few tokens while it is in service.
   * @returns false where it had not answered within `withinMs`; undefined where that was no time to ask
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
    // The first was cold: of a warm one its pace is known.
    if (before.kind === 'warming' && after.kind === 'ready') void this.#running?.life.probe.canary();
    if (after.kind !== 'suspect' && this.#outlier !== undefined) {
      const { reason } = this.#outlier;
      this.#outlier = undefined;
      if (after.kind === 'ready') log.info({ engine: this.#deps.id, reason }, 'engine put back: it is well');
    }
    // Its processes and its shared memory are all there now.
    if (after.kind === 'warming' || after.kind === 'ready') this.#running?.life.note();
    this.#history.changed(before, after, { pid: this.view.pid, ...this.#deps.address });
    if (after.kind === 'backoff') onRestart(crashReason(before));
    onChange(this.view);
    if (after.kind === 'stopped') for (const resolve of this.#onStopped.splice(0)) resolve();
    // The next look does not wait for the pause of the former state.
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

  /** One life of the process, from spawn until nothing of its group is left. */
  async #run(): Promise<EngineEvent> {
    const { id, model, log, address, ledger, probes, command, onChange } = this.#deps;
    this.#history.begins();
    const onLine = (line: string): void => this.#history.heard(line, this.#state);
    const life = new EngineLife({ id, model, address, command: command(), probes, ledger, onLine, log });
    this.#running = { life, checkup: this.#checkupOf(life) };
    onChange(this.view);
    // With its leader's end it is at once out of dispatch, before the rest is cleared away.
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
