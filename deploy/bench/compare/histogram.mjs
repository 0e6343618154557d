// @ts-check
/** Each bucket is this much wider than the one before, so a percentile is at most 0.5 % too high. */
const GROWTH = 1.005;
const LEAST_MS = 0.01;
/** Enough for 2 minutes. */
const BUCKETS = 3_300;

/** Times of a load, in a fixed amount of memory. Histograms of several processes can be added. */
export class Histogram {
  #counts;

  /** @param {Uint32Array} [counts] of another histogram */
  constructor(counts = new Uint32Array(BUCKETS)) {
    this.#counts = counts;
  }

  /** For a message to another process. */
  get counts() {
    return this.#counts;
  }

  /** @param {number} ms */
  add(ms) {
    const bucket = ms <= LEAST_MS ? 0 : Math.ceil(Math.log(ms / LEAST_MS) / Math.log(GROWTH));
    const at = Math.min(bucket, BUCKETS - 1);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** @param {Histogram} other */
  addAll(other) {
    other.counts.forEach((count, at) => (this.#counts[at] = (this.#counts[at] ?? 0) + count));
  }

  /** The time below which a share of the samples is. @param {number} share 0 to 1 @returns {number | null} ms; null without samples */
  percentile(share) {
    const all = this.#counts.reduce((sum, count) => sum + count, 0);
    if (all === 0) return null;
    let missing = Math.max(1, Math.ceil(share * all));
    const at = this.#counts.findIndex((count) => (missing -= count) <= 0);
    return LEAST_MS * GROWTH ** at;
  }

  /** @returns {{ p50: number | null, p99: number | null }} ms */
  summary() {
    return { p50: this.percentile(0.5), p99: this.percentile(0.99) };
  }
}
