import { isRefusal } from '#contract/engine-status';

/** A failed answer is held against its engine this long, in milliseconds. */
const REMEMBERED_MS = 10_000;
/** Successes closer than this, in milliseconds, are one. */
const SAME_NEWS_MS = 100;
/** So many in a row make an engine an outlier where a sibling has answered since the first. */
const OUTLIER_FAILURES = 2;
/** So many make one that has no siblings be looked at, at most this often, in milliseconds. */
const ALONE_FAILURES = 3;
const ALONE_EVERY_MS = 30_000;
/** One that refuses is asked itself, at most this often, in milliseconds. */
const ASKED_EVERY_MS = 5_000;

/** Answers of one kind in a row. */
class Row {
  #count = 0;
  since = 0;
  #at = -Infinity;

  add(now: number): void {
    if (this.#count === 0) this.since = now;
    this.#count += 1;
    this.#at = now;
  }

  end(): void {
    this.#count = 0;
  }

  /** How many, if they are not too old to count. */
  count(now: number): number {
    return now - this.#at < REMEMBERED_MS ? this.#count : 0;
  }
}

/** What one engine did with the latest requests; all instants are monotonic milliseconds. */
export class AnswerRecord {
  readonly #failed = new Row();
  readonly #refused = new Row();
  #answeredAt = -Infinity;
  #lookedAt = -Infinity;
  #askedAt = -Infinity;

  /**
   * An answer failed with this status, or is whole.
   * @returns whether that is news: each failure and refusal, the first success after one, and one success in a while
   */
  answered(status: number, now: number): boolean {
    // A full engine says nothing of itself.
    if (status === 503) return false;
    if (status !== 200) {
      (isRefusal(status) ? this.#refused : this.#failed).add(now);
      return true;
    }
    const isFirst = this.failures(now) + this.refusals(now) > 0;
    if (!isFirst && now - this.#answeredAt < SAME_NEWS_MS) return false;
    this.#failed.end();
    this.#refused.end();
    this.#answeredAt = now;
    return true;
  }

  /** Failures in a row that are not too old to count. */
  failures(now: number): number {
    return this.#failed.count(now);
  }

  /** The same of refusals, which may be their callers' doing. */
  refusals(now: number): number {
    return this.#refused.count(now);
  }

  /**
   * Whether it is this engine, and not the requests: a sibling has answered since it began to fail. Where all fail alike, none
   * is blamed; one without siblings is looked at now and then.
   */
  isOutlier(siblings: readonly AnswerRecord[], now: number): boolean {
    return this.#standsOut(this.#failed, siblings, now);
  }

  /** Whether its refusals may be its own doing: the same, but a request of our own has to show it. */
  isDoubtful(siblings: readonly AnswerRecord[], now: number): boolean {
    if (now - this.#askedAt < ASKED_EVERY_MS || !this.#standsOut(this.#refused, siblings, now)) return false;
    this.#askedAt = now;
    return true;
  }

  #standsOut(row: Row, siblings: readonly AnswerRecord[], now: number): boolean {
    const count = row.count(now);
    if (siblings.length > 0) return count >= OUTLIER_FAILURES && siblings.some((one) => one.#answeredAt >= row.since);
    if (count < ALONE_FAILURES || now - this.#lookedAt < ALONE_EVERY_MS) return false;
    this.#lookedAt = now;
    return true;
  }
}
