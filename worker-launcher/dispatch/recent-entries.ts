/** An entry is kept for this long, in ms: far longer than a replica of Redis is behind. */
export const KEPT_MS = 30_000;
/** All entries take at most this much; then the oldest are forgotten first. */
const KEPT_BYTES = 32 * 1024 * 1024;
/** The array is cut when so many of its first places are empty. */
const CUT_AFTER = 4_096;

export interface RecentEntry {
  /** its number in its attempt */
  readonly n: number;
  readonly frames: Buffer;
}

interface Kept<Line> extends RecentEntry {
  readonly line: Line;
  readonly at: number;
}

/**
 * What a dispatcher wrote to logs lately, in order: after a fail-over it writes again what Redis lost. Bounded in time and
 * in bytes, for all its attempts together. Instants are monotonic milliseconds.
 */
export class RecentEntries<Line> {
  #entries: (Kept<Line> | undefined)[] = [];
  #first = 0;
  #bytes = 0;

  add(line: Line, n: number, frames: Buffer, at: number): void {
    this.#entries.push({ line, n, frames, at });
    this.#bytes += frames.length;
    this.#forget(at);
  }

  /** The attempts with recent entries, and these. */
  byLine(now: number): Map<Line, RecentEntry[]> {
    this.#forget(now);
    const found = new Map<Line, RecentEntry[]>();
    for (const entry of this.#entries) {
      if (entry === undefined) continue;
      const ofLine = found.get(entry.line) ?? [];
      found.set(entry.line, ofLine);
      ofLine.push(entry);
    }
    return found;
  }

  #forget(now: number): void {
    for (;;) {
      const oldest = this.#entries[this.#first];
      if (oldest === undefined || (now - oldest.at <= KEPT_MS && this.#bytes <= KEPT_BYTES)) break;
      this.#bytes -= oldest.frames.length;
      this.#entries[this.#first] = undefined;
      this.#first += 1;
    }
    if (this.#first < CUT_AFTER || this.#first < this.#entries.length / 2) return;
    this.#entries = this.#entries.slice(this.#first);
    this.#first = 0;
  }
}
