/** A failed answer is held against its engine this long, in milliseconds. */
const REMEMBERED_MS = 10_000;
/** Successes closer than this, in milliseconds, are one. */
const SAME_NEWS_MS = 100;
/** So many in a row make an engine an outlier where a sibling has answered since the first. */
const OUTLIER_FAILURES = 2;
/** So many make one that has no siblings be looked at, at most this often, in milliseconds. */
const ALONE_FAILURES = 3;
const ALONE_EVERY_MS = 30_000;

/** What one engine did with the latest requests; all instants are monotonic milliseconds. */
export class AnswerRecord {
  #failures = 0;
  #failedSince = 0;
  #failedAt = -Infinity;
  #answeredAt = -Infinity;
  #lookedAt = -Infinity;

  /**
   * An answer failed with this status, or is whole.
   * @returns whether that is news: each failure, the first success after one, and one success in a while
   */
  answered(status: number, now: number): boolean {
    if (isEnginesFault(status)) {
      if (this.#failures === 0) this.#failedSince = now;
      this.#failures += 1;
      this.#failedAt = now;
      return true;
    }
    if (status >= 400) return false;
    if (this.#failures === 0 && now - this.#answeredAt < SAME_NEWS_MS) return false;
    this.#failures = 0;
    this.#answeredAt = now;
    return true;
  }

  /** Failures in a row that are not too old to count. */
  failures(now: number): number {
    return now - this.#failedAt < REMEMBERED_MS ? this.#failures : 0;
  }

  /**
   * Whether it is this engine, and not the requests: a sibling has answered since it began to fail. Where all fail alike, none
   * is blamed; one without siblings is looked at now and then.
   */
  isOutlier(siblings: readonly AnswerRecord[], now: number): boolean {
    const failures = this.failures(now);
    if (siblings.length > 0)
      return failures >= OUTLIER_FAILURES && siblings.some((one) => one.#answeredAt >= this.#failedSince);
    if (failures < ALONE_FAILURES || now - this.#lookedAt < ALONE_EVERY_MS) return false;
    this.#lookedAt = now;
    return true;
  }
}

/** An engine's own 5xx, and refusals of us, or of the name that we call it by; not 503, by which a full one answers. */
function isEnginesFault(status: number): boolean {
  return (status >= 500 && status !== 503) || [401, 403, 404, 407].includes(status);
}
