import type { ApiError } from '../http/errors.ts';
import type { EngineMetrics } from './metrics.ts';
import type { Task } from './task.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';
import type { Timing } from './timing.ts';

/** A prefill longer than this is made in several steps, as chunked prefill is, so that the step counter advances. */
const PREFILL_STEP_MS = 200;

/** length of one step of a full engine */
const SATURATED_STEP_MS = 35;

type Limits = Pick<SimulatorSettings, 'maxRunning' | 'maxBatchedTokens' | 'kvTokens' | 'hasPriorities'>;

/**
 * The engine's loop: one timer for all streams. A pass gives one token to every task that is due and counts as one
 * engine step. Without configured times a pass runs in every run of the event loop.
 */
export class Scheduler {
  readonly #waiting: Task[] = [];
  #running: Task[] = [];
  #usedTokens = 0;
  #timer: NodeJS.Timeout | undefined;
  #isPlanned = false;
  #stopped: 'no' | 'frozen' | 'dead' = 'no';
  #isSaturated = false;
  #slowness = 1;
  readonly #idleListeners: (() => void)[] = [];
  readonly #limits: Limits;
  readonly #timing: Timing;
  readonly #metrics: EngineMetrics;

  constructor(limits: Limits, timing: Timing, metrics: EngineMetrics) {
    this.#limits = limits;
    this.#timing = timing;
    this.#metrics = metrics;
  }

  get inFlight(): number {
    return this.#waiting.length + this.#running.length;
  }

  /** Prompt tokens of requests that have no token yet. */
  get tokensInPrefill(): number {
    const unread = [...this.#waiting, ...this.#running.filter((task) => task.firstTokenAt === 0)];
    return unread.reduce((sum, task) => sum + task.promptTokens, 0);
  }

  submit(task: Task): void {
    const at = this.#limits.hasPriorities ? this.#waiting.findIndex((other) => other.priority > task.priority) : -1;
    if (at < 0) this.#waiting.push(task);
    else this.#waiting.splice(at, 0, task);
    this.#plan();
  }

  /** Removes a task whose client left. Unknown tasks are ignored. */
  abort(task: Task): void {
    const index = this.#waiting.indexOf(task);
    if (index >= 0) this.#waiting.splice(index, 1);
    const isRunning = this.#running.includes(task);
    if (isRunning) {
      this.#running = this.#running.filter((other) => other !== task);
      this.#release(task);
    }
    if (index < 0 && !isRunning) return;
    this.#publish();
    this.#plan();
    this.#notifyIdle();
  }

  /** Ends all tasks with the tokens they have and finish reason `abort`. */
  abortAll(): void {
    for (const task of this.#takeAll()) {
      task.onStep(task.sequence.aborted());
      this.#metrics.finished(task, 'abort', performance.now());
    }
    this.#publish();
    this.#notifyIdle();
  }

  /** The engine died: all tasks get `error`, and no task makes progress any more. */
  fail(error: ApiError): void {
    this.#stopped = 'dead';
    for (const task of this.#takeAll()) task.onFailure(error);
    this.#notifyIdle();
  }

  /** Stops all progress: requests wait, and the published numbers do not advance. */
  freeze(): void {
    if (this.#stopped === 'no') this.#stopped = 'frozen';
  }

  resume(): void {
    if (this.#stopped !== 'frozen') return;
    this.#stopped = 'no';
    this.#publish();
    this.#plan();
  }

  /** While on, new requests wait, and the engine is busy with others that only its counters show. */
  saturate(isOn: boolean): void {
    this.#isSaturated = isOn;
    this.#plan();
  }

  /** Multiplies all times that begin from now on. */
  slowDown(factor: number): void {
    this.#slowness = factor;
  }

  /** Calls back once when no request is in flight; immediately if none is. */
  whenIdle(listener: () => void): void {
    this.#idleListeners.push(listener);
    this.#notifyIdle();
  }

  #takeAll(): Task[] {
    const all = [...this.#running, ...this.#waiting];
    this.#waiting.length = 0;
    this.#running = [];
    this.#usedTokens = 0;
    return all;
  }

  #release(task: Task): void {
    this.#usedTokens -= task.promptTokens + task.sequence.produced;
  }

  #notifyIdle(): void {
    if (this.inFlight > 0) return;
    for (const listener of this.#idleListeners.splice(0)) listener();
  }

  #plan(): void {
    if (this.#isPlanned || this.#stopped !== 'no') return;
    this.#isPlanned = true;
    clearTimeout(this.#timer);
    setImmediate(() => this.#pass());
  }

  #pass(): void {
    this.#isPlanned = false;
    if (this.#stopped !== 'no') return;
    const now = performance.now();
    this.#admit(now);
    let stepTokens = 0;
    let soonest = Infinity;
    let hasFinished = false;
    const gap = this.#slowed(this.#timing.tokenGapMs(this.#running.length));
    for (const task of this.#running) {
      if (task.nextAt <= now) {
        stepTokens += this.#advance(task, now, gap);
        if (task.nextAt === Infinity) hasFinished = true;
      }
      if (task.nextAt < soonest) soonest = task.nextAt;
    }
    if (hasFinished) this.#running = this.#running.filter((task) => task.nextAt !== Infinity);
    if (this.#isSaturated) {
      stepTokens += this.#limits.maxRunning;
      soonest = Math.min(soonest, now + SATURATED_STEP_MS);
    }
    this.#countSteps(stepTokens);
    this.#publish();
    if (hasFinished && this.#waiting.length > 0) soonest = 0;
    if (soonest <= performance.now()) this.#plan();
    else if (soonest !== Infinity) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#plan(), Math.max(soonest - performance.now(), 1));
    }
    this.#notifyIdle();
  }

  #slowed(milliseconds: number): number {
    return this.#slowness === 1 ? milliseconds : Math.max(milliseconds, 1) * this.#slowness;
  }

  #admit(now: number): void {
    while (!this.#isSaturated && this.#running.length < this.#limits.maxRunning) {
      const task = this.#waiting[0];
      if (task === undefined) return;
      if (this.#running.length > 0 && this.#usedTokens + task.promptTokens >= this.#limits.kvTokens) return;
      this.#waiting.shift();
      this.#running.push(task);
      this.#usedTokens += task.promptTokens;
      task.startedAt = now;
      const running = this.#running.length;
      task.prefillUntil = now + this.#slowed(this.#timing.firstTokenMs({ pictures: task.pictures, running, now }));
      task.nextAt = Math.min(task.prefillUntil, now + PREFILL_STEP_MS);
    }
  }

  /** @returns tokens that this step computed for the task */
  #advance(task: Task, now: number, gap: number): number {
    if (now < task.prefillUntil) {
      task.nextAt = Math.min(task.prefillUntil, now + PREFILL_STEP_MS);
      return 1;
    }
    const step = task.sequence.step();
    const isFirst = task.firstTokenAt === 0;
    if (isFirst) task.firstTokenAt = now;
    else this.#metrics.tokenGap((now - task.lastTokenAt) / 1000);
    task.lastTokenAt = now;
    this.#usedTokens += 1;
    this.#metrics.generated(task, isFirst, now);
    if (step.finish === null) {
      // After a late pass the gap is shorter, but no burst catches up.
      task.nextAt = Math.max(task.nextAt + gap, now + gap / 2);
    } else {
      task.nextAt = Infinity;
      this.#release(task);
      this.#metrics.finished(task, step.finish, now);
    }
    task.onStep(step);
    return isFirst ? task.promptTokens : 1;
  }

  /** One step computes at most `maxBatchedTokens`; long prompts take several steps. */
  #countSteps(tokens: number): void {
    const most = this.#limits.maxBatchedTokens;
    for (let left = tokens; left > 0; left -= most) this.#metrics.engineStep(Math.min(left, most));
  }

  #publish(): void {
    if (this.#stopped !== 'no') return;
    const running = this.#isSaturated ? this.#limits.maxRunning : this.#running.length;
    this.#metrics.publish(running, this.#waiting.length, this.#usedTokens / this.#limits.kvTokens);
  }
}
