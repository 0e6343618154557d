import type { EngineProbe } from './probe.ts';
import { ProgressClock, readWork } from './progress.ts';

/** All in milliseconds. */
export interface StallLimits {
  /** if a busy engine makes no step for this long, it is out of dispatch */
  readonly stallMs: number;
  /** if it makes no step for this long, it is replaced */
  readonly hangMs: number;
  /** interval at which an idle engine must generate a few tokens */
  readonly idleCanaryMs: number;
}

export interface WatchDeps {
  readonly probe: Pick<EngineProbe, 'metrics' | 'canary'>;
  readonly limits: StallLimits;
  /** our requests on this engine */
  readonly inFlight: () => number;
  readonly onLook: (event: 'progress' | 'stalled' | 'hung' | 'hint', problem?: string) => void;
}

/** A page costs vLLM's API server up to 25 ms, so an engine with progress is checked only every second time. */
const LOOK_EVERY_MS = 1_900;
const LOOK_EVERY_STALLED_MS = 900;

/**
 * Watches one engine process for progress. Steps decide, not answers: a saturated engine and a long prompt make steps, and
 * a 4xx or 500 proves nothing. If the engine seems stalled or is idle, it sends a short generation of its own, which makes
 * a healthy engine step.
 */
export class EngineWatch {
  readonly #deps: WatchDeps;
  readonly #clock = new ProgressClock();
  #lookedAt = -Infinity;
  #stalled = false;
  #looking = false;
  #poking = false;
  #movedAt: number | undefined;
  /** the last page, unchanged; at most a few seconds old while the engine is in service */
  page: string | undefined;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  /**
   * Call it every second while the engine is ready or suspect.
   * @param asked the supervisor waits for a test generation of the engine
   */
  turn(now: number, asked: boolean): void {
    const everyMs = this.#stalled ? LOOK_EVERY_STALLED_MS : LOOK_EVERY_MS;
    if (this.#looking || now - this.#lookedAt < everyMs) return;
    this.#looking = true;
    this.#lookedAt = now;
    void this.#deps.probe.metrics().then((page) => {
      this.#looking = false;
      if (page !== undefined) this.#judge(page, now, asked);
    });
  }

  #judge(page: string, now: number, asked: boolean): void {
    this.page = page;
    const { limits, inFlight, onLook } = this.#deps;
    const sample = readWork(page);
    if (sample === undefined) return;
    const ours = inFlight() + (this.#poking || asked ? 1 : 0);
    const look = this.#clock.look(sample, ours, now);
    this.#stalled = look.kind === 'stalled';
    if (look.kind !== 'stalled') {
      if (look.kind === 'progress') onLook('progress');
      if (look.kind === 'progress' || this.#movedAt === undefined) this.#movedAt = now;
      else if (now - this.#movedAt >= limits.idleCanaryMs) this.#poke(now);
      return;
    }
    const problem = `no engine step for ${Math.round(look.forMs / 1_000)} s, with ${Math.max(sample.requests, ours)} requests in flight`;
    if (look.forMs >= limits.hangMs) onLook('hung', problem);
    else if (look.forMs >= limits.stallMs) onLook('stalled', problem);
    if (look.forMs >= limits.stallMs / 2) this.#poke(now);
  }

  #poke(now: number): void {
    if (this.#poking) return;
    this.#poking = true;
    this.#movedAt = now;
    void this.#deps.probe.canary().then(({ event, problem }) => {
      this.#poking = false;
      // It steps or is idle but does not answer: the probes of the suspect state decide.
      if (event === 'canary_failed' && !this.#stalled) this.#deps.onLook('hint', problem);
    });
  }
}
