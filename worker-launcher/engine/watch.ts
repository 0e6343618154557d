import type { EngineProbe } from './probe.ts';
import { ProgressClock, readWork } from './progress.ts';

/** All in milliseconds. */
export interface StallLimits {
  /** with work and without any step for this long an engine is out of dispatch */
  readonly stallMs: number;
  /** and for this long it is replaced */
  readonly hangMs: number;
  /** an idle engine is made to generate a few tokens this often */
  readonly idleCanaryMs: number;
}

export interface WatchDeps {
  readonly probe: Pick<EngineProbe, 'metrics' | 'canary'>;
  readonly limits: StallLimits;
  /** requests of ours on this engine */
  readonly inFlight: () => number;
  readonly onLook: (event: 'progress' | 'stalled' | 'hung' | 'hint', problem?: string) => void;
}

/** A page costs vLLM's API server up to 25 ms, so one that moves is looked at every second turn only. */
const LOOK_EVERY_MS = 1_900;
const LOOK_EVERY_STALLED_MS = 900;

/**
 * Watches one life of an engine for forward progress. Steps decide, not answers: a saturated engine steps, a long prompt
 * steps, an answer of 4xx or 500 says nothing. In doubt, and when idle, it sends a short generation of its own, which
 * makes an engine step that is well.
 */
export class EngineWatch {
  readonly #deps: WatchDeps;
  readonly #clock = new ProgressClock();
  #lookedAt = -Infinity;
  #stalled = false;
  #looking = false;
  #poking = false;
  #movedAt: number | undefined;
  /** the last page, as it came; at most some seconds old while the engine is in service */
  page: string | undefined;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  /**
   * To be called every second while the engine is in service or in doubt.
   * @param asked the supervisor waits for an answer of the engine itself
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
    const problem = `no engine step for ${Math.round(look.forMs / 1_000)} s, with ${Math.max(sample.requests, ours)} requests at work`;
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
      // It steps, or is idle, and answers no one: the probes of a doubt decide.
      if (event === 'canary_failed' && !this.#stalled) this.#deps.onLook('hint', problem);
    });
  }
}
