import type { Intake } from '../engine/pace.ts';

/** One request on an engine. */
export interface Waiting {
  /** the head of its answer arrived; that of a stream arrives while its engine still has it in its own queue */
  begun(): void;
  /** bytes of its answer arrived */
  heard(): void;
  /** its engine is paused or resumed; silence during a pause does not count against the engine */
  holdBack(held: boolean): void;
  over(): void;
  /** time since the last byte of a begun answer, in milliseconds; 0 while it is paused or has no byte yet */
  readonly stuckMs: number;
}

interface Answer {
  readonly since: number;
  readonly weight: number;
  /** its begin, or the last first byte of another answer that excuses its wait */
  silentSince: number;
  hasHead: boolean;
  /** arrival of its first byte and of its last; undefined: none yet */
  firstAt: number | undefined;
  heardAt: number | undefined;
  held: boolean;
}

/** Tracks which requests of one engine wait for their first byte or their next one; instants are monotonic milliseconds. */
export class FirstBytes {
  readonly #answers = new Set<Answer>();
  #taken = 0;
  /** instants of the last first byte, and of the last byte */
  #heardAt = -Infinity;
  #movedAt = -Infinity;

  /** @param weight cost of reading its prompt (`promptWeight`) */
  begin(weight: number): Waiting {
    const since = performance.now();
    const answer: Answer = {
      since,
      weight,
      silentSince: since,
      hasHead: false,
      firstAt: undefined,
      heardAt: undefined,
      held: false,
    };
    this.#taken += weight;
    this.#answers.add(answer);
    return {
      begun: () => {
        answer.hasHead = true;
      },
      heard: () => {
        const now = performance.now();
        if (answer.firstAt === undefined) this.#heardFirst(answer, now);
        answer.firstAt ??= now;
        answer.heardAt = now;
        this.#movedAt = now;
      },
      holdBack: (held) => {
        if (answer.held && answer.heardAt !== undefined) answer.heardAt = performance.now();
        answer.held = held;
      },
      over: () => void this.#answers.delete(answer),
      get stuckMs() {
        return stuckMs(answer, performance.now());
      },
    };
  }

  get report(): Intake {
    const now = performance.now();
    const all = [...this.#answers];
    const waiting = all.filter(({ heardAt }) => heardAt === undefined);
    return {
      taken: this.#taken,
      waiting: waiting.reduce((sum, { weight }) => sum + weight, 0),
      headless: all.filter(({ hasHead }) => !hasHead).length,
      silentMs: Math.max(0, ...waiting.map(({ silentSince }) => now - silentSince)),
      heardAgoMs: agoMs(this.#heardAt, now),
      stuckMs: mostStuckMs(all, now),
      movedAgoMs: agoMs(this.#movedAt, now),
    };
  }

  /** An engine reads prompts in the order of their arrival, so the first byte of a later request does not excuse a silent stream. */
  #heardFirst({ since }: Answer, now: number): void {
    this.#heardAt = now;
    for (const other of this.#answers) if (!other.hasHead || other.since >= since) other.silentSince = now;
  }
}

const stuckMs = ({ heardAt, held }: Answer, now: number): number => (heardAt === undefined || held ? 0 : now - heardAt);
/**
 * The longest time for which more than half of the answers of at least that age had no byte. Younger answers do not count,
 * because they cannot show such a silence. More than half, because a single answer may wait for memory or for the end of
 * a tool call.
 */
function mostStuckMs(answers: readonly Answer[], now: number): number {
  const begun = answers.filter(({ held }) => !held).flatMap(({ firstAt }) => firstAt ?? []);
  const silences = answers.map((one) => stuckMs(one, now)).toSorted((a, b) => b - a);
  return silences.find((ms, index) => index + 1 > begun.filter((firstAt) => now - firstAt >= ms).length / 2) ?? 0;
}

const agoMs = (instant: number, now: number): number | null => (instant === -Infinity ? null : now - instant);
