import { monotonic } from '#runtime/clock';
import { AnswerRecord } from '../engine/answer-record.ts';
import { isSlowCanary, PaceRule, type Intake, type PaceLimits } from '../engine/pace.ts';
import { mayBeFull, readPace } from '../engine/progress.ts';
import type { EngineSupervisor } from '../engine/supervisor.ts';

export interface OutlierWatchDeps {
  /** all engines of this launcher, of all dispatchers: they serve the same model */
  readonly engines: () => readonly EngineSupervisor[];
  /** an engine's last report by its dispatcher */
  readonly intake: (engine: string) => Intake | undefined;
  /** moves requests away from this engine: those without a first byte, or without any byte for `stuckMs` milliseconds */
  readonly relieve: (engine: string, stuckMs: number) => void;
  readonly limits: PaceLimits;
}

type Figures = Parameters<EngineSupervisor['outlier']>[1];

/** An engine's own page is read at about the same interval. */
const LOOK_EVERY_MS = 2_000;
/** Part of the limit of a silence after which the answers of an engine that failed the test are moved. */
const MOVED_AFTER = 1 / 4;

/** Finds engines that do worse than their siblings: they fail while others answer, send nothing, or are far slower. */
export class OutlierWatch {
  readonly #deps: OutlierWatchDeps;
  readonly #pace: PaceRule;
  readonly #records = new Map<string, { readonly pid: number | null; readonly record: AnswerRecord }>();
  /** pid of each engine that is out of dispatch as slow */
  readonly #slow = new Map<string, number | null>();
  /** engines whose siblings run test generations */
  readonly #comparing = new Set<EngineSupervisor>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: OutlierWatchDeps) {
    this.#deps = deps;
    this.#pace = new PaceRule(deps.limits);
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** An answer of this engine failed with this status, or is complete. */
  answered(id: string, status: number): void {
    const engines = this.#deps.engines();
    const now = monotonic();
    const one = engines.find(({ view }) => view.id === id);
    if (one === undefined) return;
    this.#recordOf(one).answered(status, now);
    const ready = engines.filter(({ view }) => view.state === 'ready');
    for (const engine of ready) {
      const siblings = ready.filter((other) => other !== engine).map((other) => this.#recordOf(other));
      const record = this.#recordOf(engine);
      // An engine without siblings may be right, so it is only probed.
      const blame = (figures: Figures): void =>
        siblings.length === 0 ? engine.hint() : engine.outlier('failing', figures);
      if (record.isOutlier(siblings, now)) return blame({ failures: record.failures(now) });
      if (!record.isDoubtful(siblings, now)) continue;
      const { muteMs } = this.#deps.limits;
      void engine.doubt(muteMs).then((isWell) => {
        // A late answer is not a refusal: the engine is busy.
        if (isWell === false && monotonic() - now < muteMs) blame({ refusals: record.refusals(now) });
      });
    }
  }

  /** Whether a short generation on this otherwise idle engine was far slower than its siblings'. */
  isSlow(id: string, tookMs: number): boolean {
    const siblings = this.#deps.engines().filter(({ view }) => view.id !== id && view.state === 'ready');
    const best = siblings.map(({ bestCanaryMs }) => bestCanaryMs);
    return isSlowCanary(tookMs, best, this.#deps.limits);
  }

  #look(): void {
    const { engines, intake, relieve, limits } = this.#deps;
    const all = engines();
    const now = monotonic();
    for (const { view } of all) {
      const { id, pid, state, outlier } = view;
      // Some answers began shortly before the test failed.
      if (outlier?.reason === 'mute') relieve(id, limits.muteMs * MOVED_AFTER);
      const isSame = this.#slow.get(id) === pid;
      if (isSame && state !== 'ready') continue;
      if (isSame) this.#pace.acquitted(id, now);
      this.#slow.delete(id);
    }
    const facts = all.map(({ view: { id, pid, state }, metricsPage }) => ({
      id,
      pid,
      ready: state === 'ready',
      page: metricsPage === undefined ? undefined : readPace(metricsPage),
      intake: intake(id),
    }));
    for (const found of this.#pace.look(facts, now)) {
      const engine = all.find(({ view }) => view.id === found.id);
      if (engine === undefined) continue;
      if (found.kind === 'slow') {
        const siblings = all.filter((other) => other !== engine && other.view.state === 'ready');
        void this.#takeOut(engine, siblings, found.figures);
        continue;
      }
      const { silentMs, withinMs, compared } = found;
      const before = engine.metricsPage;
      void engine.doubt(withinMs).then((isWell) => {
        if (isWell === true) this.#pace.answered(found.id, monotonic());
        if (isWell !== false) return;
        if (!compared && this.#isExcused(engine, before, withinMs)) return;
        engine.outlier('mute', { silentMs: Math.round(silentMs), askedMs: Math.round(withinMs) });
        relieve(found.id, limits.muteMs * MOVED_AFTER);
      });
    }
  }

  /** Takes out a slow engine; its siblings run the test generation first, because the engine's own is compared with theirs. */
  async #takeOut(engine: EngineSupervisor, siblings: readonly EngineSupervisor[], figures: Figures): Promise<void> {
    if (this.#comparing.has(engine)) return;
    this.#comparing.add(engine);
    const { id, pid } = engine.view;
    await Promise.all(siblings.map((sibling) => sibling.doubt(this.#deps.limits.muteMs)));
    this.#comparing.delete(engine);
    if (engine.view.pid !== pid || engine.view.state !== 'ready') return;
    // Never the last ready engine.
    if (siblings.every(({ view }) => view.state !== 'ready')) return;
    this.#slow.set(id, pid);
    engine.outlier('slow', figures);
  }

  /**
   * If no sibling answered during the silence, full memory may explain it. The engine then works on answers that progress,
   * or on answers that are not streamed and have no byte before their end.
   */
  #isExcused({ view: { id }, metricsPage }: EngineSupervisor, before: string | undefined, withinMs: number): boolean {
    const intake = this.#deps.intake(id);
    if (intake === undefined) return true;
    const works = intake.headless > 0 || (intake.movedAgoMs ?? Infinity) < withinMs;
    return works && mayBeFull(before, metricsPage);
  }

  #recordOf({ view: { id, pid } }: EngineSupervisor): AnswerRecord {
    const known = this.#records.get(id);
    if (known?.pid === pid) return known.record;
    const record = new AnswerRecord();
    this.#records.set(id, { pid, record });
    return record;
  }
}
