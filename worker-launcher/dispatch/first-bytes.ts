import type { Intake } from '../engine/pace.ts';

/** One request on an engine. */
export interface Waiting {
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
  /** undefined: no byte of it has arrived yet */
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
    const answer: Answer = { since: performance.now(), weight, heardAt: undefined, held: false };
    this.#taken += weight;
    this.#answers.add(answer);
    return {
      heard: () => {
        const now = performance.now();
        if (answer.heardAt === undefined) this.#heardAt = now;
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
    const since = Math.max(Math.min(...waiting.map((one) => one.since)), this.#heardAt);
    const begun = all.filter(({ heardAt, held }) => heardAt !== undefined && !held);
    const stuck = begun.map((one) => stuckMs(one, now)).toSorted((a, b) => b - a);
    return {
      taken: this.#taken,
      waiting: waiting.reduce((sum, { weight }) => sum + weight, 0),
      silentMs: waiting.length === 0 ? 0 : now - since,
      heardAgoMs: agoMs(this.#heardAt, now),
      // More than half, because a single answer may wait for memory or for the end of a tool call.
      stuckMs: stuck[Math.floor(stuck.length / 2)] ?? 0,
      movedAgoMs: agoMs(this.#movedAt, now),
    };
  }
}

const stuckMs = ({ heardAt, held }: Answer, now: number): number => (heardAt === undefined || held ? 0 : now - heardAt);
const agoMs = (instant: number, now: number): number | null => (instant === -Infinity ? null : now - instant);
