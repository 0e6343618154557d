/** How fast an engine is, from its own counters and what its dispatcher gave it, compared with its siblings; pure. */

/** Counters of vLLM's page, each since the engine's start. */
export interface PageCounters {
  /** seconds between two tokens of one answer: sum and number */
  readonly gapSeconds: number;
  readonly gaps: number;
  /** seconds to the first token: sum and number */
  readonly waitSeconds: number;
  readonly waits: number;
}

/** What the dispatcher knows of one engine; instants as ages, as the clocks of two processes are not compared. */
export interface Intake {
  /** prompt weight (`promptWeight`) of all requests that it was given, and of those that have no byte of an answer yet */
  readonly taken: number;
  readonly waiting: number;
  /** a request waits, and nobody has had a first byte for so long, in milliseconds; 0: none waits */
  readonly silentMs: number;
  /** since the last first byte that it gave, in milliseconds; null: it gave none yet */
  readonly heardAgoMs: number | null;
  /** more than half of the answers that it has begun have had no byte for so long, in milliseconds; 0: none is begun */
  readonly stuckMs: number;
  /** since the last byte that it gave, in milliseconds; null: it gave none yet */
  readonly movedAgoMs: number | null;
}

export interface PaceLimits {
  /** so many times slower than the median of its siblings is slow */
  readonly factor: number;
  /** over so long, in milliseconds */
  readonly windowMs: number;
  /** silence towards all new requests of this long, and the time that a large prompt may take, is a doubt; in milliseconds */
  readonly muteMs: number;
}

/** One look at one engine. */
export interface EngineFacts {
  readonly id: string;
  /** another life has other numbers */
  readonly pid: number | null;
  readonly ready: boolean;
  readonly page: PageCounters | undefined;
  readonly intake: Intake | undefined;
}

export type Finding =
  | { readonly id: string; readonly kind: 'slow'; readonly figures: Readonly<Record<string, number>> }
  /** to be asked for a few tokens, within so long */
  | { readonly id: string; readonly kind: 'silent'; readonly silentMs: number; readonly withinMs: number };

/** A picture weighs as much as this many bytes of text at most, however large its file is. */
const PICTURE_WEIGHT = 65_536;
/** What any engine reads in a second, of such weight: some 2,000 tokens. */
const WEIGHT_PER_SECOND = 8_192;
/** Fewer say nothing. */
const LEAST = { gaps: 20, waits: 5 } as const;
/** Below these differences, in milliseconds, nobody is slow: a busy machine makes them. */
const FLOOR_MS = { gap: 20, wait: 200, canary: 100 } as const;
/** More prompt than its siblings', by this weight, is a reason to be slow: prefill holds up every answer of an engine. */
const EXCUSING_WEIGHT = 32_768;
/** Up to so many answers at a time an engine's pace hardly changes; beyond, it falls with their number (measured, H100). */
const FLAT_STREAMS = 32;
/** One that was found to be well is left alone so long, doubled each time, in milliseconds. */
const QUIET_MS = 60_000;
const QUIET_CAP_MS = 1_800_000;

/** What reading a prompt costs, in bytes of text. */
export function promptWeight(kind: 'text' | 'image', bytes: number): number {
  return kind === 'image' ? Math.min(bytes, PICTURE_WEIGHT) : bytes;
}

interface Sample {
  readonly at: number;
  readonly page: PageCounters;
  readonly intake: Intake;
}
interface Life {
  readonly pid: number | null;
  samples: Sample[];
  /** it was asked, and answered, in a silence */
  answeredAt: number;
  /** not judged for its pace before this instant */
  quietUntil: number;
  acquittals: number;
}
interface Pace {
  readonly gapMs: number | undefined;
  readonly waitMs: number | undefined;
  /** answers at a time, on average */
  readonly streams: number;
  readonly weight: number;
}

/** Fed with one look at all engines of a model at a time; instants are monotonic milliseconds of the caller. */
export class PaceRule {
  readonly #limits: PaceLimits;
  readonly #lives = new Map<string, Life>();

  constructor(limits: PaceLimits) {
    this.#limits = limits;
  }

  /** @returns those that do worse than their siblings in service. If all are alike, none; and none without siblings */
  look(engines: readonly EngineFacts[], now: number): Finding[] {
    for (const one of engines) this.#take(one, now);
    return engines.flatMap((one) => {
      const siblings = engines.filter((other) => other !== one && other.ready);
      if (siblings.length === 0) return [];
      const silent = this.#silence(one, siblings, now);
      if (silent !== undefined) return [silent];
      return one.ready ? this.#slowness(one, siblings, now) : [];
    });
  }

  /** It was silent, was asked, and answered: long answers explain it. */
  answered(id: string, now: number): void {
    const life = this.#lives.get(id);
    if (life !== undefined) life.answeredAt = now;
  }

  /** It was taken out as slow, and found to be well. */
  acquitted(id: string, now: number): void {
    const life = this.#lives.get(id);
    if (life === undefined) return;
    life.quietUntil = now + Math.min(QUIET_MS * 2 ** life.acquittals, QUIET_CAP_MS);
    life.acquittals += 1;
  }

  #take({ id, pid, ready, page, intake }: EngineFacts, now: number): void {
    let life = this.#lives.get(id);
    if (life === undefined || life.pid !== pid) {
      life = { pid, samples: [], answeredAt: -Infinity, quietUntil: -Infinity, acquittals: 0 };
      this.#lives.set(id, life);
    }
    // What it does out of service is no measure.
    if (!ready || page === undefined || intake === undefined) life.samples = [];
    else life.samples.push({ at: now, page, intake });
    const oldest = life.samples.findLastIndex(({ at }) => now - at >= this.#limits.windowMs);
    if (oldest > 0) life.samples.splice(0, oldest);
  }

  #silence({ id, intake }: EngineFacts, siblings: readonly EngineFacts[], now: number): Finding | undefined {
    if (intake === undefined) return undefined;
    const withinMs = this.#limits.muteMs + (intake.waiting / WEIGHT_PER_SECOND) * 1_000;
    const sinceAnsweredMs = now - (this.#lives.get(id)?.answeredAt ?? -Infinity);
    for (const [own, others] of [
      ['silentMs', 'heardAgoMs'],
      ['stuckMs', 'movedAgoMs'],
    ] as const) {
      const silentMs = Math.min(intake[own], sinceAnsweredMs);
      if (silentMs >= withinMs && siblings.some((one) => (one.intake?.[others] ?? Infinity) < silentMs))
        return { id, kind: 'silent', silentMs, withinMs };
    }
    return undefined;
  }

  #slowness({ id }: EngineFacts, siblings: readonly EngineFacts[], now: number): Finding[] {
    const pace = this.#pace(id, now);
    if (pace === undefined || now < (this.#lives.get(id)?.quietUntil ?? -Infinity)) return [];
    const others = siblings.flatMap((one) => this.#pace(one.id, now) ?? []);
    for (const what of ['gap', 'wait'] as const) {
      const key = `${what}Ms` as const;
      const own = pace[key];
      const alike = others.filter((one) => one[key] !== undefined);
      const usual = median(alike.map((one) => one[key] ?? 0));
      if (own === undefined || usual === undefined) continue;
      if (pace.weight > 2 * (median(alike.map(({ weight }) => weight)) ?? 0) + EXCUSING_WEIGHT) continue;
      const crowd = pace.streams / Math.max(median(alike.map(({ streams }) => streams)) ?? 0, FLAT_STREAMS);
      if (own < usual * this.#limits.factor * Math.max(1, crowd) || own - usual < FLOOR_MS[what]) continue;
      const figures = { [key]: round(own), [`siblings${what === 'gap' ? 'Gap' : 'Wait'}Ms`]: round(usual) };
      return [{ id, kind: 'slow', figures }];
    }
    return [];
  }

  /** Of the last window; undefined before it is full. */
  #pace(id: string, now: number): Pace | undefined {
    const samples = this.#lives.get(id)?.samples ?? [];
    const [first, last] = [samples[0], samples.at(-1)];
    if (first === undefined || last === undefined || now - first.at < this.#limits.windowMs) return undefined;
    const since = (key: keyof PageCounters): number => last.page[key] - first.page[key];
    const meanMs = (sum: number, count: number, least: number): number | undefined =>
      count < least ? undefined : (sum / count) * 1_000;
    return {
      gapMs: meanMs(since('gapSeconds'), since('gaps'), LEAST.gaps),
      waitMs: meanMs(since('waitSeconds'), since('waits'), LEAST.waits),
      streams: (since('gapSeconds') * 1_000) / (last.at - first.at),
      weight: first.intake.waiting + last.intake.taken - first.intake.taken,
    };
  }
}

/**
 * Whether a short generation on an engine with nothing else to do was far slower than its siblings' best.
 * @param siblingsBestMs of each the quickest one since its start
 */
export function isSlowCanary(tookMs: number, siblingsBestMs: readonly number[], { factor }: PaceLimits): boolean {
  const usual = median(siblingsBestMs.filter((one) => one !== Infinity));
  return usual !== undefined && tookMs >= usual * factor && tookMs - usual >= FLOOR_MS.canary;
}

/** Of an even number the larger of the middle ones: in doubt for the accused. */
function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}
