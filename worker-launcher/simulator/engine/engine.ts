import { PictureCache, PrefixCache, type CacheUse } from './cache.ts';
import { engineBusy, engineDead, internalError, type ApiError } from '../http/errors.ts';
import { logLine } from '../log.ts';
import { Ledger } from './ledger.ts';
import type { EngineMetrics } from './metrics.ts';
import type { Prompt } from '../text/prompt.ts';
import { Scheduler } from './scheduler.ts';
import type { Task } from './task.ts';
import type { Sequence, Step } from './sequence.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';
import type { Timing } from './timing.ts';

export interface Request {
  readonly id: string;
  readonly prompt: Prompt;
  readonly maxTokens: number;
  readonly priority: number;
  /** one per choice */
  readonly sequences: readonly Sequence[];
  readonly onStep: (choice: number, step: Step, task: Task) => void;
  readonly onFailure: (error: ApiError) => void;
}

/** The engine, as vLLM's API server knows it: its condition, its caches, its running and waiting requests. */
export class Engine {
  readonly scheduler: Scheduler;
  readonly prefixes: PrefixCache;
  readonly pictures = new PictureCache();
  readonly settings: SimulatorSettings;
  readonly metrics: EngineMetrics;
  /** 1 or 2 while asleep */
  sleepLevel = 0;
  #condition: 'up' | 'draining' | 'dead' = 'up';
  readonly #ledger: Ledger;
  readonly #deathListeners: ((wasBusy: boolean) => void)[] = [];

  constructor(settings: SimulatorSettings, timing: Timing, metrics: EngineMetrics) {
    this.settings = settings;
    this.metrics = metrics;
    this.scheduler = new Scheduler(settings, timing, metrics);
    this.#ledger = new Ledger(settings.ledger);
    this.prefixes = new PrefixCache(settings.blockSize, settings.kvTokens);
  }

  get isDead(): boolean {
    return this.#condition === 'dead';
  }

  /** @throws ApiError 500 if the engine is dead or draining, 503 if a queue limit is reached */
  checkOpen(): void {
    if (this.#condition === 'dead') {
      // A request to a dead engine ends the server immediately; the watchdog would take seconds.
      for (const listener of this.#deathListeners) listener(true);
      throw this.#deathError();
    }
    if (this.#condition === 'draining') throw internalError('cannot schedule new futures after shutdown');
    const { maxQueuedRequests = Infinity, maxQueuedTokens = Infinity } = this.settings;
    if (this.scheduler.inFlight >= maxQueuedRequests) {
      this.metrics.rejected('max_num_queued_reqs');
      throw engineBusy();
    }
    if (maxQueuedTokens !== Infinity && this.scheduler.tokensInPrefill >= maxQueuedTokens) {
      this.metrics.rejected('max_num_queued_tokens');
      throw engineBusy();
    }
  }

  /** Notes a prompt in the caches. @returns the tokens that they had, and those that they gained */
  remember(prompt: Prompt, salt: string | undefined, cachedPictures: number): CacheUse {
    const use = this.prefixes.use(prompt, salt);
    this.metrics.accepted({
      promptTokens: prompt.count,
      cachedTokens: use.cached,
      pictures: prompt.pictures.length,
      cachedPictures,
    });
    return use;
  }

  /** Starts a request. @returns a function that drops it, to be called when its client leaves */
  start(request: Request): () => void {
    const now = performance.now();
    const tasks = request.sequences.map((sequence, choice): Task => {
      const task: Task = {
        id: request.id,
        sequence,
        promptTokens: request.prompt.count,
        pictures: request.prompt.pictures.length,
        maxTokens: request.maxTokens,
        priority: request.priority,
        arrivedAt: now,
        onStep: (step) => {
          this.#ledger.step(request, choice, step, sequence.produced);
          request.onStep(choice, step, task);
        },
        onFailure: (error) => {
          this.#ledger.cut(request);
          request.onFailure(error);
        },
        startedAt: 0,
        firstTokenAt: 0,
        lastTokenAt: 0,
        nextAt: 0,
        prefillUntil: 0,
      };
      return task;
    });
    if (this.settings.logRequests) logLine('APIServer', 'INFO', 'logger.py:50', `Received request ${request.id}.`);
    this.#ledger.arrived(request);
    for (const task of tasks) this.scheduler.submit(task);
    return () => {
      logLine('APIServer', 'INFO', 'async_llm.py:540', `Aborted request(s) ${request.id}.`);
      this.#ledger.cut(request);
      for (const task of tasks) this.scheduler.abort(task);
    };
  }

  /** Accepts no more requests; running requests go on. */
  drain(): void {
    if (this.#condition === 'up') this.#condition = 'draining';
  }

  /** Ends the engine process: all requests in flight fail, and all later ones. */
  die(): void {
    if (this.#condition === 'dead') return;
    this.#condition = 'dead';
    logLine('APIServer', 'ERROR', 'async_llm.py:943', `vllm.v1.engine.exceptions.EngineDeadError: ${DEATH_TRACE}`);
    const wasBusy = this.scheduler.inFlight > 0;
    this.scheduler.fail(this.#deathError());
    for (const listener of this.#deathListeners) listener(wasBusy);
  }

  /** Calls back when the engine dies; `wasBusy`: it had requests in flight. */
  onDeath(listener: (wasBusy: boolean) => void): void {
    this.#deathListeners.push(listener);
  }

  sleep(level: number): void {
    this.sleepLevel = level;
    this.metrics.sleep(true);
    this.scheduler.freeze();
  }

  wakeUp(): void {
    this.sleepLevel = 0;
    this.metrics.sleep(false);
    this.scheduler.resume();
  }

  #deathError(): ApiError {
    return engineDead(
      this.settings.version === '0.32' ? DEATH_TRACE : 'The server had an error while processing your request.',
    );
  }
}

const DEATH_TRACE = 'EngineCore encountered an issue. See stack trace (above) for the root cause.';
