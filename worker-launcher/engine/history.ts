import type { Log } from '#runtime/log';
import type { LifeEnd } from './life.ts';
import { explainStart } from './start-failure.ts';
import { stageIn } from './start-progress.ts';
import { crashReason, type EngineState } from './state.ts';

/** From this failure in a row on, each is an error in the log. */
const LOUD_FROM_ATTEMPT = 5;

/** What an engine's lives tell people, in its view and in the log: how far its start is, how often and why it failed. */
export class EngineHistory {
  readonly #id: string;
  readonly #log: Log;
  #restarts = 0;
  #lastFailure: string | undefined;
  #lastCause: string | undefined;
  #stage: string | undefined;
  #lastProblem: string | undefined;
  #wasReady = false;

  constructor(id: string, log: Log) {
    this.#id = id;
    this.#log = log;
  }

  /** That part of an engine's view, in this state. */
  of(kind: EngineState['kind']): {
    restarts: number;
    lastFailure: string | undefined;
    lastCause: string | undefined;
    stage: string | undefined;
    wasReady: boolean;
  } {
    return {
      restarts: this.#restarts,
      lastFailure: this.#lastFailure,
      lastCause: this.#lastCause,
      stage: kind === 'starting' || kind === 'warming' ? this.#stage : undefined,
      wasReady: this.#wasReady,
    };
  }

  /** A life begins. */
  begins(): void {
    this.#stage = undefined;
  }

  /** Nothing of it could be started. */
  notStarted(cause: unknown): void {
    this.#lastFailure = `could not be started: ${String(cause)}`;
  }

  /** It is well no longer: in a sentence, for the case that it ends over this. */
  problem(problem: string): void {
    this.#lastProblem = problem;
  }

  /** It printed a line. */
  heard(line: string, { kind }: EngineState): void {
    this.#log.debug({ engine: this.#id, line }, 'engine output');
    if (kind !== 'starting' && kind !== 'warming') return;
    const stage = stageIn(line);
    if (stage === undefined || stage === this.#stage) return;
    this.#stage = stage;
    this.#log.info({ engine: this.#id, stage }, 'engine is starting');
  }

  /** What it runs on is broken. @param reason for people */
  condemned(reason: string): void {
    this.#lastFailure = reason;
    this.#lastCause = 'gpu_fault';
    this.#log.error({ engine: this.#id, reason }, 'engine out of service');
  }

  /** @param where what the log tells of it beside its state */
  changed(before: EngineState, after: EngineState, where: Record<string, unknown>): void {
    if (after.kind === 'ready') {
      this.#wasReady = true;
      this.#lastProblem = undefined;
    }
    if (after.kind === 'backoff') this.#restarts += 1;
    const fields = { engine: this.#id, state: after.kind, ...where };
    const failed = after.kind === 'backoff' || (after.kind === 'stopped' && after.why === 'gave_up');
    if (!failed) {
      this.#log.info(fields, `engine ${after.kind}`);
      return;
    }
    const loud = after.kind === 'stopped' || after.attempt >= LOUD_FROM_ATTEMPT;
    const next = after.kind === 'stopped' ? 'not started again' : `failure ${after.attempt}, will be restarted`;
    const told = { ...fields, reason: this.#lastFailure, why: crashReason(before) };
    if (loud) this.#log.error(told, `engine failed: ${next}`);
    else this.#log.warn(told, `engine failed: ${next}`);
  }

  /**
   * A life ended that nobody had asked to end.
   * @param state in which it ended
   * @param startMs how long a start may take
   */
  ended({ code, how, lines }: LifeEnd, state: EngineState, startMs: number): void {
    const reason = crashReason(state);
    const problem = this.#lastProblem;
    const { cause, sentence, next } = explainStart(lines, code, how);
    this.#lastCause = reason === 'start_failed' || (reason === 'exited' && cause !== 'unknown') ? cause : reason;
    if (reason === 'start_failed') {
      this.#lastFailure = `did not start: ${sentence}; ${next}`;
      return;
    }
    const verdict = {
      start_timeout: `was not ready within ${startMs} ms`,
      exited: how,
      unresponsive: 'stood still and was killed',
      outlier: 'did worse than its siblings, and was killed',
    }[reason];
    const last = lines.findLast((line) => line.trim() !== '')?.trim();
    // The log of an engine that stands still says nothing of it.
    const detail = {
      start_timeout: last ?? problem,
      exited: cause === 'unknown' ? last : sentence,
      unresponsive: problem,
      outlier: problem,
    }[reason];
    this.#lastFailure = [verdict, detail].filter((part) => part !== undefined).join('; ');
  }
}
