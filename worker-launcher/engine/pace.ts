/** Compares an engine's speed with its siblings', from its own counters and its dispatcher's; pure. */

/** Counters of vLLM's page, each since the engine's start. */
export interface PageCounters {
  /** seconds between two tokens of one answer: sum and number */
  readonly gapSeconds: number;
  readonly gaps: number;
  /** seconds to the first token: sum and number */
  readonly waitSeconds: number;
  readonly waits: number;
}

/** What the dispatcher knows of one engine; instants are ages because the clocks of two processes are not compared. */
export interface Intake {
  /** prompt weight (`promptWeight`) of all requests sent to it, and of those that have no byte of an answer yet */
  readonly taken: number;
  readonly waiting: number;
  /** requests without a response head: those that are not streamed, and those that it has not read yet */
  readonly headless: number;
  /** time without a first byte for any request while one waits, or for a waiting stream and those before it, in milliseconds; 0: none waits */
  readonly silentMs: number;
  /** time since its last first byte, in milliseconds; null: none yet */
  readonly heardAgoMs: number | null;
  /** time for which more than half of its answers of at least that age have had no byte, in milliseconds; 0: none is begun */
  readonly stuckMs: number;
  /** time since its last byte, in milliseconds; null: none yet */
  readonly movedAgoMs: number | null;
}

export interface PaceLimits {
  /** an engine is slow if it is this many times slower than the median of its siblings */
  readonly factor: number;
  /** window of the comparison, in milliseconds */
  readonly windowMs: number;
  /** silence towards all new requests, beyond the time for large prompts, after which the engine is tested; in milliseconds */
  readonly muteMs: number;
}

/** One look at one engine. */
export interface EngineFacts {
  readonly id: string;
  /** a new process has new counters */
  readonly pid: number | null;
  readonly ready: boolean;
  readonly page: PageCounters | undefined;
  readonly intake: Intake | undefined;
}

export type Finding =
  | { readonly id: string; readonly kind: 'slow'; readonly figures: Readonly<Record<string, number>> }
  /** a few tokens must be requested from it within this time; `compared`: a sibling answered during the silence */
  | {
      readonly id: string;
      readonly kind: 'silent';
      readonly silentMs: number;
      readonly withinMs: number;
      readonly compared: boolean;
    };

/** A picture weighs at most as much as this many bytes of text, whatever the size of its file. */
const PICTURE_WEIGHT = 65_536;
/** Prompt weight that any engine reads in a second: some 2,000 tokens. */
const WEIGHT_PER_SECOND = 8_192;
/** With fewer samples an engine is not compared. */
const LEAST = { gaps: 20, waits: 5 } as const;
/** Smaller differences, in milliseconds, are ignored: a busy machine causes them. */
const FLOOR_MS = { gap: 20, wait: 200, canary: 100 } as const;
/** An engine with this much more prompt than its siblings may be slow, because prefill delays all its answers. */
const EXCUSING_WEIGHT = 32_768;
/** Up to this many concurrent answers an engine's pace hardly changes; beyond, it falls with their number (measured, H100). */
const FLAT_STREAMS = 32;
/** After a wrong suspicion the engine is not judged for this long, doubled each time, in milliseconds. */
const QUIET_MS = 60_000;
const QUIET_CAP_MS = 1_800_000;

/** Cost of reading a prompt, in bytes of text. */
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
  /** when it answered a test request during a silence */
  answeredAt: number;
  /** not judged for its pace before this instant */
  quietUntil: number;
  acquittals: number;
}
interface Pace {
  readonly gapMs: number | undefined;
  readonly waitMs: number | undefined;
  /** concurrent answers, on average */
  readonly streams: number;
  readonly weight: number;
}

/** Judges all engines of a model, look by look; instants are monotonic milliseconds of the caller. */
export class PaceRule {
  readonly #limits: PaceLimits;
  readonly #lives = new Map<string, Life>();

  constructor(limits: PaceLimits) {
    this.#limits = limits;
  }

  /** @returns the engines that are slower than their siblings in service, and those that are silent, with siblings or without */
  look(engines: readonly EngineFacts[], now: number): Finding[] {
    for (const one of engines) this.#take(one, now);
    return engines.flatMap((one) => {
      const siblings = engines.filter((other) => other !== one && other.ready);
      const silent = this.#silence(one, siblings, now);
      if (silent !== undefined) return [silent];
      return one.ready ? this.#slowness(one, siblings, now) : [];
    });
  }

  /** It was silent but answered a test request: long answers explain the silence. */
  answered(id: string, now: number): void {
    const life = this.#lives.get(id);
    if (life !== undefined) life.answeredAt = now;
  }

  /** It was taken out as slow, but a test showed that it is healthy. */
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
    // Out of service its pace means nothing.
    if (!ready || page === undefined || intake === undefined) life.samples = [];
    else life.samples.push({ at: now, page, intake });
    const oldest = life.samples.findLastIndex(({ at }) => now - at >= this.#limits.windowMs);
    if (oldest > 0) life.samples.splice(0, oldest);
  }

  #silence({ id, intake }: EngineFacts, siblings: readonly EngineFacts[], now: number): Finding | undefined {
    if (intake === undefined) return undefined;
    const withinMs = this.#limits.muteMs + Math.ceil((intake.waiting / WEIGHT_PER_SECOND) * 1_000);
    const sinceAnsweredMs = now - (this.#lives.get(id)?.answeredAt ?? -Infinity);
    const silences = (
      [
        ['silentMs', 'heardAgoMs'],
        ['stuckMs', 'movedAgoMs'],
      ] as const
    ).flatMap(([own, others]) => {
      const silentMs = Math.min(intake[own], sinceAnsweredMs);
      const compared = siblings.some((one) => (one.intake?.[others] ?? Infinity) < silentMs);
      return silentMs < withinMs ? [] : { id, kind: 'silent' as const, silentMs, withinMs, compared };
    });
    return silences.find(({ compared }) => compared) ?? silences[0];
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

  /** Its pace over the last window; undefined before the window is full. */
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
 * Whether a short generation on an otherwise idle engine was far slower than its siblings' best.
 * @param siblingsBestMs each sibling's fastest generation since its start
 */
export function isSlowCanary(tookMs: number, siblingsBestMs: readonly number[], { factor }: PaceLimits): boolean {
  const usual = median(siblingsBestMs.filter((one) => one !== Infinity));
  return usual !== undefined && tookMs >= usual * factor && tookMs - usual >= FLOOR_MS.canary;
}

/** Of an even number, the larger of the two middle values, so that fewer engines count as slow. */
function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}
