import { isRefusal } from '#contract/engine-status';

/** A failed answer counts against its engine this long, in milliseconds. */
const REMEMBERED_MS = 10_000;
/** Successes closer together than this, in milliseconds, count as one. */
const SAME_NEWS_MS = 100;
/** This many failures in a row make an engine an outlier if a sibling has answered since the first. */
const OUTLIER_FAILURES = 2;
/** An engine without siblings is probed after this many failures, at most once per interval, in milliseconds. */
const ALONE_FAILURES = 3;
const ALONE_EVERY_MS = 30_000;
/** An engine that refuses gets a test request at most once per this interval, in milliseconds. */
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

  /** How many; 0 if the last is too old to count. */
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
   * Records an answer: 200 if it is complete, else the status it failed with.
   * @returns whether it is worth a report: each failure and refusal, the first success after one, and one success per 100 ms
   */
  answered(status: number, now: number): boolean {
    // 503 means a full engine, not an unhealthy one.
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

  /** Recent failures in a row. */
  failures(now: number): number {
    return this.#failed.count(now);
  }

  /** Recent refusals in a row; the callers may have caused them. */
  refusals(now: number): number {
    return this.#refused.count(now);
  }

  /**
   * Whether the engine, not the requests, causes the failures: a sibling has answered since it began to fail. If all
   * engines fail, none is blamed. An engine without siblings is probed at most every 30 s.
   */
  isOutlier(siblings: readonly AnswerRecord[], now: number): boolean {
    return this.#standsOut(this.#failed, siblings, now);
  }

  /** Whether the engine may cause its refusals: the same rule, but a test request must confirm it. */
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
