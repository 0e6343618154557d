import { replicaOf } from '#contract/answer-log';
import type { Frame } from '#contract/frame';
import type { JobV1, Token } from '#contract/job';
import { writtenEntry } from '#contract/logged-entry';
import { replyAddress } from '#contract/model-names';
import type { Log } from '#runtime/log';
import { LostConnection } from '#runtime/numbered-connection';
import type { RedisClient } from '#runtime/redis-client';
import { NOT_YET } from './answer-log-scripts.ts';
import { endOfTurn, EntryPace } from './entry-pace.ts';
import { encoded, newLine, type Line, type LineEntry } from './log-line.ts';
import { ENTRIES_AT_ONCE, LogRestoration } from './log-restoration.ts';
import { LogWriter } from './log-writer.ts';
import type { Publisher } from './publisher.ts';

/** How often the owners of answers are looked up, in milliseconds. A new owner reads the log until copies follow it. */
const LOOK_UP_MS = 500;
/** If this many bytes of a model are unwritten, its engines' durable streams are paused until half of them are written. */
const FULL_BYTES = 8 * 1024 * 1024;

export interface AnswerLogEvents {
  /** the answer is over, another attempt has it, or its log cannot be written: this attempt must end */
  superseded(job: JobV1, token: Token): void;
  /** frames of the model arrive faster than they can be written; false: they no longer do */
  full(model: string, isFull: boolean): void;
}

interface Channel {
  /** attempts with frames that wait */
  readonly lines: Set<Line>;
  readonly pace: EntryPace;
  bytes: number;
  frames: number;
  isBusy: boolean;
  isFull: boolean;
  /** instant since which the present command is outstanding or refused, monotonic ms */
  writingSince: number | undefined;
}

interface CopiedEntry extends LineEntry {
  /** of the frame `logged` */
  readonly payload: Buffer;
}

/** One attempt's end of its log. */
export interface LogLine {
  /** Writes the first entry. @returns false: the attempt must not run @throws while Redis refuses it */
  claim(frame: Frame): Promise<boolean>;
  /** Copies the frame's payload. */
  send(frame: Frame): void;
  /** The attempt is over, and sends nothing more. */
  over(): void;
}

/**
 * Writes the frames of durable answers to their logs, and then to the reply streams of their owners. One script writes what one run of the event loop has for a model (or up to 2 ms,
 * see `entry-pace.ts`). At most one such command a model is outstanding, so that entries stay in order.
 */
export class AnswerLogs {
  readonly #writer: LogWriter;
  readonly #restoration: LogRestoration;
  readonly #events: AnswerLogEvents;
  readonly #copies: Pick<Publisher, 'retain' | 'send' | 'isBehind'>;
  /** attempts that run */
  readonly #lines = new Set<Line>();
  #isLookingUp = false;
  readonly #channels = new Map<string, Channel>();
  #onIdle: (() => void) | undefined;

  /** @param redis of the manner `once`, for logs alone */
  constructor(
    redis: RedisClient,
    incarnation: string,
    log: Log,
    { copies, ...events }: AnswerLogEvents & { readonly copies: Pick<Publisher, 'retain' | 'send' | 'isBehind'> },
  ) {
    this.#events = events;
    this.#copies = copies;
    this.#writer = new LogWriter(redis, incarnation, log, () => setImmediate(() => void this.#restoration.ready()));
    this.#restoration = new LogRestoration(this.#writer, log, {
      held: (line) => void this.#channel(line.job.model).lines.delete(line),
      restored: (line) => {
        if (line.pending.length > 0) this.#wake(line);
      },
      lost: (line) => this.#lose(line),
      broken: (line, error) => {
        const payload = Buffer.from(JSON.stringify(error));
        this.#send(line, { type: 'error', requestId: '', ...line.token, payload });
        this.#events.superseded(line.job, line.token);
      },
    });
    // If Redis is away, the next look tells.
    setInterval(() => void this.#lookUpOwners(), LOOK_UP_MS).unref();
  }

  /** One look at a time: while Redis is away, they would all wait for it. */
  async #lookUpOwners(): Promise<void> {
    if (this.#isLookingUp) return;
    this.#isLookingUp = true;
    await this.#lookUpAll().catch(() => {});
    this.#isLookingUp = false;
  }

  async #lookUpAll(): Promise<void> {
    for (const model of new Set([...this.#lines].map(({ job }) => job.model))) {
      const lines = [...this.#lines].filter(({ job }) => job.model === model);
      for (let at = 0; at < lines.length; at += ENTRIES_AT_ONCE)
        await this.#writer.lookUpOwners(lines.slice(at, at + ENTRIES_AT_ONCE));
    }
  }

  open(job: JobV1, token: Token): LogLine {
    const line = newLine(job, token);
    return {
      claim: (frame) => this.#claim(line, frame),
      send: (frame) => this.#send(line, frame),
      over: () => {
        line.isOver = true;
        line.reader?.release();
        this.#lines.delete(line);
      },
    };
  }

  /** Age of the oldest outstanding write, in milliseconds; 0 if there is none. */
  get stuckMs(): number {
    const since = [...this.#channels.values()].map(({ writingSince }) => writingSince ?? Infinity);
    return Math.max(0, performance.now() - Math.min(Infinity, ...since));
  }

  /** Waits until everything sent so far was written or given up. */
  async close(): Promise<void> {
    if ([...this.#channels.values()].some(({ isBusy }) => isBusy))
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
  }

  async #claim(line: Line, frame: Frame): Promise<boolean> {
    line.claim = encoded(frame);
    for (;;) {
      try {
        const next = await this.#writer.claim(await this.#restoration.readyToClaim(), line);
        if (next === NOT_YET && (await this.#restoration.recordMayCome())) continue;
        if (next < 1) return false;
        this.#lines.add(line);
        this.#restoration.add({ line, n: 0, frames: line.claim });
        return true;
      } catch (cause) {
        if (!(cause instanceof LostConnection)) throw cause;
      }
    }
  }

  #send(line: Line, frame: Frame): void {
    if (line.state === 'lost') return;
    const { model } = line.job;
    const channel = this.#channel(model);
    const bytes = encoded(frame);
    line.pending.push(bytes);
    if (frame.type === 'end' || frame.type === 'error') line.hasEnd = true;
    channel.bytes += bytes.length;
    channel.frames += 1;
    if (!channel.isFull && channel.bytes > FULL_BYTES) {
      channel.isFull = true;
      this.#events.full(model, true);
    }
    if (line.state === 'open') this.#wake(line);
  }

  /** Writes what waits. */
  #wake(line: Line): void {
    const { model } = line.job;
    const channel = this.#channel(model);
    channel.lines.add(line);
    if (channel.isBusy) return;
    channel.isBusy = true;
    void this.#flush(model, channel);
  }

  #channel(model: string): Channel {
    let channel = this.#channels.get(model);
    if (channel === undefined) {
      const idle = { bytes: 0, frames: 0, isBusy: false, isFull: false, writingSince: undefined };
      channel = { lines: new Set(), pace: new EntryPace(), ...idle };
      this.#channels.set(model, channel);
    }
    return channel;
  }

  async #flush(model: string, channel: Channel): Promise<void> {
    while (channel.lines.size > 0) {
      await endOfTurn(channel.pace.waitMs(performance.now()));
      const lines = [...channel.lines].slice(0, ENTRIES_AT_ONCE);
      for (const line of lines) channel.lines.delete(line);
      channel.writingSince = performance.now();
      const entries = lines.map((line) => this.#entry(line));
      channel.pace.wrote(channel.frames, channel.writingSince);
      channel.frames = 0;
      await this.#write(model, entries);
      this.#copy(model, entries);
      channel.writingSince = undefined;
      this.#written(model, channel, sumOf(entries.map(({ frames }) => frames)));
    }
    channel.isBusy = false;
    if (this.#onIdle !== undefined && ![...this.#channels.values()].some(({ isBusy }) => isBusy)) this.#onIdle();
  }

  /** The frames that wait, as the next entry. */
  #entry(line: Line): CopiedEntry {
    line.n += 1;
    const entry = { line, n: line.n, ...writtenEntry(line.life, line.n, line.pending) };
    line.pending = [];
    this.#restoration.add(entry);
    return entry;
  }

  /** Gives owners what the logs have. An owner reads a log if it misses a copy. */
  #copy(model: string, entries: readonly CopiedEntry[]): void {
    const ofOlder = new Map<string, LineEntry[]>();
    for (const entry of entries) {
      const { line, payload } = entry;
      if (line.state !== 'open') continue;
      const replica = replicaOf(line.owner);
      if (replica === undefined) {
        const others = ofOlder.get(line.owner) ?? [];
        ofOlder.set(line.owner, others);
        others.push(entry);
        continue;
      }
      const address = line.reader?.replica === replica ? line.reader.address : replyAddress(replica, model);
      if (!line.isOver && line.reader?.address !== address) {
        line.reader?.release();
        line.reader = { replica, address, release: this.#copies.retain(address) };
      }
      if (this.#copies.isBehind(address)) continue;
      this.#copies.send(address, { type: 'logged', requestId: line.job.requestId, ...line.token, payload });
    }
    for (const [owner, others] of ofOlder) void this.#writer.copyTo(owner, model, others).catch(() => {});
  }

  async #write(model: string, entries: readonly LineEntry[]): Promise<void> {
    for (;;) {
      const connection = await this.#restoration.ready();
      // The others' entries are recent, and written before their attempts go on.
      const open = entries.filter(({ line }) => line.state === 'open');
      if (open.length === 0) return;
      try {
        for (const line of await this.#writer.write(connection, model, open)) this.#lose(line);
        return;
      } catch (cause) {
        if (!(cause instanceof LostConnection)) throw cause;
      }
    }
  }

  #written(model: string, channel: Channel, bytes: number): void {
    channel.bytes -= bytes;
    if (!channel.isFull || channel.bytes >= FULL_BYTES / 2) return;
    channel.isFull = false;
    this.#events.full(model, false);
  }

  /** Nothing more is written of this attempt, which must end. */
  #lose(line: Line): void {
    const { model } = line.job;
    const channel = this.#channel(model);
    line.state = 'lost';
    channel.lines.delete(line);
    this.#written(model, channel, sumOf(line.pending));
    line.pending = [];
    this.#events.superseded(line.job, line.token);
  }
}

function sumOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0);
}
