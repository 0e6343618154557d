import type { Log } from '#runtime/log';
import type { LifeEnd } from './life.ts';
import { explainStart } from './start-failure.ts';
import { stageIn } from './start-progress.ts';
import { crashReason, type EngineState } from './state.ts';

/** From this many failures in a row, the log level is error. */
const LOUD_FROM_ATTEMPT = 5;

/** Lines of vLLM that report no trouble. */
const ORDINARY = /\b(?:INFO|DEBUG)\b/;

/** History of an engine's processes, for its view and the log: progress of the start, number and causes of failures. */
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

  /** The history's part of the engine's view, in this state. */
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

  /** A new process starts. */
  begins(): void {
    this.#stage = undefined;
  }

  /** The process could not be spawned. */
  notStarted(cause: unknown): void {
    this.#lastFailure = `could not be started: ${String(cause)}`;
  }

  /** Keeps a problem, in a sentence, as the explanation if the engine ends because of it. */
  problem(problem: string): void {
    this.#lastProblem = problem;
  }

  /** Takes one line of its output. */
  heard(line: string, { kind }: EngineState): void {
    this.#log.debug({ engine: this.#id, line }, 'engine output');
    if (kind !== 'starting' && kind !== 'warming') return;
    const stage = stageIn(line);
    if (stage === undefined || stage === this.#stage) return;
    this.#stage = stage;
    this.#log.info({ engine: this.#id, stage }, 'engine is starting');
  }

  /** Its GPU is broken. @param reason for people */
  condemned(reason: string): void {
    this.#lastFailure = reason;
    this.#lastCause = 'gpu_fault';
    this.#log.error({ engine: this.#id, reason }, 'engine out of service');
  }

  /** @param where further log fields: process id and address */
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
    const next =
      after.kind === 'stopped'
        ? 'the launcher does not restart it'
        : `failure ${after.attempt}, the launcher will restart it`;
    const failure = { ...fields, reason: this.#lastFailure, why: crashReason(before) };
    if (loud) this.#log.error(failure, `engine failed: ${next}`);
    else this.#log.warn(failure, `engine failed: ${next}`);
  }

  /**
   * The process ended without a request to stop.
   * @param state the engine's state at that time
   * @param startMs start timeout
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
      unresponsive: 'stopped making progress and was killed',
      outlier: 'was failing, silent or slow, and was killed',
    }[reason];
    const last = lines.findLast((line) => line.trim() !== '')?.trim();
    // An ordinary line explains nothing, and could be about a request.
    const complaint = last === undefined || ORDINARY.test(last) ? undefined : last;
    // The output of a hung engine does not explain the hang.
    const detail = {
      start_timeout: last ?? problem,
      exited: cause === 'unknown' ? complaint : sentence,
      unresponsive: problem,
      outlier: problem,
    }[reason];
    this.#lastFailure = [verdict, detail].filter((part) => part !== undefined).join('; ');
  }
}
