import type { Clock } from '#runtime/clock';
import type { EngineLife } from './life.ts';
import { OutlierCase } from './outlier-case.ts';
import { probeOf, type EngineEvent, type EngineState } from './state.ts';
import { EngineWatch, type StallLimits } from './watch.ts';

/** Pause between two notes of its processes and files, because each reads all of `/proc`; shorter while it gets more of them. */
const NOTE_EVERY_MS = 15_000;
const NOTE_EVERY_STARTING_MS = 1_000;

export interface CheckupDeps {
  readonly life: EngineLife;
  readonly stall: StallLimits;
  readonly inFlight: () => number;
  readonly isSlow: (tookMs: number) => boolean;
  /** the engine's current state */
  readonly state: () => EngineState;
  /** whether this process is still the engine's current one */
  readonly isCurrent: () => boolean;
  /** time limit for a few tokens from a silent engine, in milliseconds */
  readonly patienceMs: () => number | undefined;
  /** a problem of the engine, in a sentence */
  readonly onProblem: (problem: string) => void;
  readonly onEvent: (event: EngineEvent) => void;
  readonly clock: Clock;
}

/** Everything that is checked in one engine process: its answers to probes, its progress, its processes and files. */
export class Checkup {
  readonly #deps: CheckupDeps;
  readonly #watch: EngineWatch;
  readonly #outlier = new OutlierCase();
  #probing = false;
  #notedAt: number;

  constructor(deps: CheckupDeps) {
    this.#deps = deps;
    const { life, stall: limits, inFlight } = deps;
    this.#watch = new EngineWatch({
      probe: life.probe,
      limits,
      inFlight,
      onLook: (event, problem) => {
        if (!deps.isCurrent() || this.#killed) return;
        if (problem !== undefined) deps.onProblem(problem);
        deps.onEvent(event);
      },
    });
    this.#notedAt = deps.clock();
  }

  /** the engine's own page of metrics, a few seconds old */
  get page(): string | undefined {
    return this.#watch.page;
  }

  /** Runs each check that is due. */
  turn(): void {
    this.#probe();
    this.#look();
    this.#note();
  }

  get #killed(): boolean {
    const state = this.#deps.state();
    return 'killed' in state && state.killed;
  }

  #probe(): void {
    const { life, state, inFlight, isSlow, isCurrent, onProblem, onEvent } = this.#deps;
    const asked = state();
    const question = probeOf(asked);
    if (life.ended || this.#probing || question === undefined) return;
    this.#probing = true;
    const isMute = asked.kind === 'suspect' && asked.outlier === 'mute';
    const patienceMs = question === 'canary' && isMute ? this.#deps.patienceMs() : undefined;
    void life.probe[question](patienceMs).then((result) => {
      const { problem } = result;
      const known = { state: state(), inFlight: inFlight(), page: this.page, isSlow };
      const event = this.#outlier.read(result, known);
      this.#probing = false;
      if (!isCurrent() || life.ended) return;
      // We caused the problems of an engine that we killed.
      if (problem !== undefined && !this.#killed) onProblem(problem);
      // If the state changed, the answer may belong to another question.
      if (event !== undefined && probeOf(state()) === question) onEvent(event);
      if (probeOf(state()) !== question) this.#probe();
    });
  }

  #look(): void {
    const { life, state, clock } = this.#deps;
    const { kind } = state();
    if (life.ended || (kind !== 'ready' && kind !== 'suspect')) return;
    this.#watch.turn(clock(), this.#probing && probeOf(state()) === 'canary');
  }

  #note(): void {
    const { life, state, clock } = this.#deps;
    const everyMs = state().kind === 'starting' ? NOTE_EVERY_STARTING_MS : NOTE_EVERY_MS;
    if (clock() - this.#notedAt < everyMs) return;
    this.#notedAt = clock();
    life.note();
  }
}
