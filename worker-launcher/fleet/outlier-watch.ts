import { monotonic } from '#runtime/clock';
import { AnswerRecord } from '../engine/answer-record.ts';
import { isSlowCanary, PaceRule, type Intake, type PaceLimits } from '../engine/pace.ts';
import { readPace } from '../engine/progress.ts';
import type { EngineSupervisor } from '../engine/supervisor.ts';

export interface OutlierWatchDeps {
  /** all of this launcher, whichever dispatcher serves them: they have the same model */
  readonly engines: () => readonly EngineSupervisor[];
  /** what an engine's dispatcher knows of it */
  readonly intake: (engine: string) => Intake | undefined;
  /** what has no byte of an answer from this engine, or none for so long, in milliseconds, is to run elsewhere */
  readonly relieve: (engine: string, stuckMs: number) => void;
  readonly limits: PaceLimits;
}

type Figures = Parameters<EngineSupervisor['outlier']>[1];

/** An engine's own page is read about as often. */
const LOOK_EVERY_MS = 2_000;

/** Finds the engines that do worse than their siblings: that fail where others answer, give nothing, or are far slower. */
export class OutlierWatch {
  readonly #deps: OutlierWatchDeps;
  readonly #pace: PaceRule;
  readonly #records = new Map<string, { readonly pid: number | null; readonly record: AnswerRecord }>();
  /** out as slow, with their processes */
  readonly #slow = new Map<string, number | null>();
  /** their siblings are being asked */
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

  /** An answer of this engine failed with this status, or is whole. */
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
      // One that is alone may be right: it is only looked at.
      const blame = (figures: Figures): void =>
        siblings.length === 0 ? engine.hint() : engine.outlier('failing', figures);
      if (record.isOutlier(siblings, now)) return blame({ failures: record.failures(now) });
      if (!record.isDoubtful(siblings, now)) continue;
      const { muteMs } = this.#deps.limits;
      void engine.doubt(muteMs).then((isWell) => {
        // A late answer is no refusal: it has work.
        if (isWell === false && monotonic() - now < muteMs) blame({ refusals: record.refusals(now) });
      });
    }
  }

  /** Whether a short generation on this engine, which has nothing else to do, was far slower than at its siblings. */
  isSlow(id: string, tookMs: number): boolean {
    const siblings = this.#deps.engines().filter(({ view }) => view.id !== id && view.state === 'ready');
    const best = siblings.map(({ bestCanaryMs }) => bestCanaryMs);
    return isSlowCanary(tookMs, best, this.#deps.limits);
  }

  #look(): void {
    const { engines, intake, relieve } = this.#deps;
    const all = engines();
    const now = monotonic();
    for (const { view } of all) {
      const { id, pid, state } = view;
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
      const { silentMs, withinMs } = found;
      void engine.doubt(withinMs).then((isWell) => {
        if (isWell === true) this.#pace.answered(found.id, monotonic());
        if (isWell !== false) return;
        engine.outlier('mute', { silentMs: Math.round(silentMs), askedMs: Math.round(withinMs) });
        relieve(found.id, withinMs);
      });
    }
  }

  /** What it will be asked for, its siblings are asked first: their pace of a moment ago, or a better one of before, counts. */
  async #takeOut(engine: EngineSupervisor, siblings: readonly EngineSupervisor[], figures: Figures): Promise<void> {
    if (this.#comparing.has(engine)) return;
    this.#comparing.add(engine);
    const { id, pid } = engine.view;
    await Promise.all(siblings.map((sibling) => sibling.doubt(this.#deps.limits.muteMs)));
    this.#comparing.delete(engine);
    if (engine.view.pid !== pid || engine.view.state !== 'ready') return;
    // Never the last one.
    if (siblings.every(({ view }) => view.state !== 'ready')) return;
    this.#slow.set(id, pid);
    engine.outlier('slow', figures);
  }

  #recordOf({ view: { id, pid } }: EngineSupervisor): AnswerRecord {
    const known = this.#records.get(id);
    if (known?.pid === pid) return known.record;
    const record = new AnswerRecord();
    this.#records.set(id, { pid, record });
    return record;
  }
}
