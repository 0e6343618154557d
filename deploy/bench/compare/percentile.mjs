// @ts-check
/**
 * The value below which a share of the samples is.
 * @param {ArrayLike<number>} sorted ascending
 * @param {number} share 0 to 1
 * @returns {number | null} null without samples
 */
export function percentile(sorted, share) {
  if (sorted.length === 0) return null;
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

/** @param {number[]} samples @returns {{ p50: number | null, p99: number | null }} */
export function summary(samples) {
  const sorted = Float64Array.from(samples).sort();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}
