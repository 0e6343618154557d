import type { AttemptError } from '#contract/frame';
import type { Log } from '#runtime/log';
import { LostConnection } from '#runtime/numbered-connection';
import { NOT_YET } from './answer-log-scripts.ts';
import type { Line, LineEntry } from './log-line.ts';
import type { LogWriter } from './log-writer.ts';
import { KEPT_MS, RecentEntries, type RecentEntry } from './recent-entries.ts';

/** Entries that one command writes. Lua's `unpack` takes some thousand values. */
export const ENTRIES_AT_ONCE = 1_000;
/** So long after a reconnection, other dispatchers have claimed again what they run. In milliseconds. */
const CLAIMED_AGAIN_MS = 1_500;
/** The owner of an answer writes a lost record again within this time, which is looked for so often. In milliseconds. */
const RECORD_BACK_MS = 10_000;
const LOOK_MS = 250;
/** How often attempts that are over are forgotten, in milliseconds. */
const TIDY_MS = 1_000;

export interface RestorationEvents {
  /** the attempt writes nothing until it is restored */
  held(line: Line): void;
  restored(line: Line): void;
  /** the answer is over, or another attempt has it */
  lost(line: Line): void;
  /** a part of its log is gone: this attempt cannot complete it */
  broken(line: Line, error: AttemptError): void;
}

/**
 * What the logs lost when Redis failed over: its replica had not all of it yet. After each reconnection, each attempt that
 * runs or has recent entries claims its answer again, and writes what the log lacks of them, before anything else is written.
 */
export class LogRestoration {
  readonly #writer: LogWriter;
  readonly #events: RestorationEvents;
  readonly #log: Log;
  readonly #recent = new RecentEntries<Line>();
  /** attempts whose logs may lose something, also if none of their entries is kept */
  readonly #lines = new Set<Line>();
  #tidiedAt = 0;
  /** number of the connection on which the logs lack nothing */
  #restored = 0;
  #restoring: Promise<void> | undefined;
  /** attempts whose records are gone */
  readonly #awaited = new Set<Line>();

  constructor(writer: LogWriter, log: Log, events: RestorationEvents) {
    this.#writer = writer;
    this.#log = log;
    this.#events = events;
  }

  /** Call it before an entry is written. */
  add({ line, n, frames }: LineEntry): void {
    line.madeAt = performance.now();
    this.#recent.add(line, n, frames, line.madeAt);
    this.#lines.add(line);
    if (line.madeAt - this.#tidiedAt > TIDY_MS) this.#tidy(line.madeAt);
  }

  #tidy(now: number): void {
    this.#tidiedAt = now;
    for (const line of this.#lines)
      if (line.state === 'lost' || (line.isOver && now - line.madeAt > KEPT_MS)) this.#lines.delete(line);
  }

  /** Waits for a connection on which the logs lack nothing. @returns its number */
  async ready(): Promise<number> {
    for (;;) {
      const connection = await this.#writer.connection.open();
      if (connection === this.#restored) return connection;
      this.#restoring ??= this.#restoreAll(connection).finally(() => {
        this.#restoring = undefined;
      });
      await this.#restoring;
    }
  }

  /** The same for an attempt that begins: another one may have the answer, and must first claim it again. */
  async readyToClaim(): Promise<number> {
    for (;;) {
      const connection = await this.ready();
      const earlyMs = CLAIMED_AGAIN_MS - this.#writer.connection.ageMs;
      if (earlyMs <= 0) return connection;
      await pause(earlyMs);
    }
  }

  /** After a fail-over, waits for the record of an answer. @returns false: its owner had the time to write it */
  async recordMayCome(): Promise<boolean> {
    if (this.#writer.connection.ageMs > RECORD_BACK_MS) return false;
    await pause(LOOK_MS);
    return true;
  }

  async #restoreAll(connection: number): Promise<void> {
    const now = performance.now();
    this.#tidy(now);
    const [recent, lines] = [this.#recent.byLine(now), [...this.#lines]];
    for (const line of lines)
      if (line.state === 'open') {
        line.state = 'held';
        this.#events.held(line);
      }
    try {
      await Promise.all(lines.map((line) => this.#restore(connection, line, recent.get(line) ?? [])));
      this.#restored = connection;
    } catch (cause) {
      // The next connection begins again.
      if (!(cause instanceof LostConnection)) throw cause;
    }
  }

  /** @throws LostConnection */
  async #restore(connection: number, line: Line, entries: readonly RecentEntry[]): Promise<void> {
    if (line.state !== 'held') return;
    const { model, requestId } = line.job;
    const next = await this.#writer.insist(model, () => this.#writer.claim(connection, line));
    if (next === NOT_YET) return void this.#await(line);
    if (next === undefined || next === 0) return this.#lose(line);
    const lacking = entries.filter(({ n }) => n >= next).map((entry) => ({ ...entry, line }));
    const isGap = next <= line.n && lacking[0]?.n !== next;
    for (let at = 0; at < lacking.length && !isGap; at += ENTRIES_AT_ONCE) {
      const refused = await this.#writer.write(connection, model, lacking.slice(at, at + ENTRIES_AT_ONCE));
      if (refused.length > 0) return this.#lose(line);
    }
    if (lacking.length > 0)
      this.#log.info({ requestId, entries: lacking.length, isGap }, 'Redis lacked the end of a log');
    line.state = 'open';
    // Without an error, the owner would wait for the rest.
    const isUnended = line.isOver && !line.hasEnd;
    if (isGap || isUnended)
      this.#events.broken(line, { reason: 'worker_lost', message: 'Redis lost a part of the answer' });
    this.#events.restored(line);
  }

  /** Its owner is about to write its record, or the seam before its epoch. */
  async #await(line: Line): Promise<void> {
    if (this.#awaited.has(line)) return;
    this.#awaited.add(line);
    for (let waitedMs = 0; line.state === 'held' && waitedMs < RECORD_BACK_MS; waitedMs += LOOK_MS) {
      await pause(LOOK_MS);
      const connection = await this.ready();
      const entries = this.#recent.byLine(performance.now()).get(line) ?? [];
      // If this connection is lost too, all are restored on the next one.
      await this.#restore(connection, line, entries).catch(() => {});
    }
    this.#awaited.delete(line);
    if (line.state === 'held') this.#lose(line);
  }

  #lose(line: Line): void {
    line.state = 'lost';
    this.#events.lost(line);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
