import { encodeStamp, entryMs, type Frame } from '#contract/frame';
import { redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { endOfTurn, EntryPace } from './entry-pace.ts';
import { PendingEntries } from './pending-entries.ts';

/** If this many bytes wait for one replica, it is given up: no gateway reads there. */
const PENDING_LIMIT_BYTES = 64 * 1024 * 1024;
/** If this many bytes are unwritten, the engines are paused until half of them are written. */
const FULL_BYTES = 8 * 1024 * 1024;
/** If a replica's first unread entry is this old, or this much is unread, its engines' streams are paused. */
const BEHIND_MS = 5_000;
const BEHIND_BYTES = 64 * 1024 * 1024;
/** Below this lag it has caught up. */
const CAUGHT_UP_MS = 1_000;
/** A refused write (out of memory, read-only) is retried for this long, in milliseconds. */
const REFUSED_LIMIT_MS = 10_000;
const HEARTBEAT_MS = 1_000;

export interface PublisherEvents {
  /** the replica's lease expired or it was given up: no gateway reads its attempts */
  gone(replica: string): void;
  /** true: it reads its replies too late, or they arrive faster than they can be written; false: it has caught up */
  behind(replica: string, behind: boolean): void;
}

interface Channel {
  sequence: number;
  readonly pending: PendingEntries;
  /** a flush is scheduled or an XADD is outstanding */
  busy: boolean;
  readonly pace: EntryPace;
  /** instant since which the current XADD is outstanding or refused, monotonic ms; absent: no XADD is */
  writingSince: number | undefined;
  /** attempts that write to this replica */
  writers: number;
  /** written entries that may be unread: Redis time in ms, and bytes */
  written: { atMs: number; bytes: number }[];
  behind: boolean;
  /** engines send faster than entries can be written */
  full: boolean;
  /** a client waits for a frame that is not written yet; owners of durable answers read the log if one is missing */
  isAwaited: boolean;
  /** it was given up and has accepted no entry since; logged once */
  givenUp: boolean;
}

/**
 * Writes frames to the reply streams of the replicas, in order. All frames of one run of the event loop share one entry,
 * and those of up to 2 ms while they are many (`entry-pace.ts`).
 * At most one XADD per replica is outstanding, so that no later one overtakes a refused one.
 */
export class Publisher {
  readonly #redis: RedisClient;
  readonly #incarnation: string;
  readonly #events: PublisherEvents;
  readonly #log: Log;
  readonly #channels = new Map<string, Channel>();
  readonly #heartbeat: NodeJS.Timeout;
  #idle: (() => void) | undefined;

  constructor(redis: RedisClient, incarnation: string, log: Log, events: PublisherEvents) {
    this.#redis = redis;
    this.#incarnation = incarnation;
    this.#events = events;
    this.#log = log;
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  /** Registers an attempt that writes to this replica; while it has any, it gets one heartbeat per second. */
  retain(replica: string): () => void {
    const channel = this.#channel(replica);
    channel.writers += 1;
    return () => {
      channel.writers -= 1;
    };
  }

  /** Copies the frame's payload. */
  send(replica: string, frame: Frame): void {
    const channel = this.#channel(replica);
    channel.pending.add(frame);
    if (frame.type !== 'logged') channel.isAwaited = true;
    if (channel.pending.bytes > PENDING_LIMIT_BYTES) {
      this.#giveUp(replica, 'too many unread bytes');
      return;
    }
    if (!channel.full && channel.pending.bytes > FULL_BYTES) {
      channel.full = true;
      this.#events.behind(replica, true);
    }
    if (!channel.busy) {
      channel.busy = true;
      void this.#flush(replica, channel);
    }
  }

  /** It reads its replies too late, or they arrive faster than they can be written. */
  isBehind(replica: string): boolean {
    const { behind, full } = this.#channel(replica);
    return behind || full;
  }

  /** Age of the oldest outstanding write, in milliseconds; 0 if there is none. */
  get stuckMs(): number {
    const awaited = [...this.#channels.values()].filter(({ isAwaited }) => isAwaited);
    const since = awaited.map(({ writingSince }) => writingSince ?? Infinity);
    return Math.max(0, performance.now() - Math.min(Infinity, ...since));
  }

  /** Waits until everything sent so far was written or given up, then stops the heartbeat. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    if ([...this.#channels.values()].some((channel) => channel.busy))
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
  }

  #channel(replica: string): Channel {
    let channel = this.#channels.get(replica);
    if (channel === undefined) {
      const idle = {
        busy: false,
        writingSince: undefined,
        writers: 0,
        written: [],
        behind: false,
        full: false,
        isAwaited: false,
        givenUp: false,
      };
      channel = { sequence: 0, pending: new PendingEntries(), pace: new EntryPace(), ...idle };
      this.#channels.set(replica, channel);
    }
    return channel;
  }

  async #flush(replica: string, channel: Channel): Promise<void> {
    await endOfTurn(channel.pace.waitMs(performance.now()));
    for (let entry = channel.pending.take(); entry !== undefined; entry = channel.pending.take()) {
      channel.sequence += 1;
      if (channel.full && channel.pending.bytes < FULL_BYTES / 2) {
        channel.full = false;
        if (!channel.behind) this.#events.behind(replica, false);
      }
      channel.writingSince = performance.now();
      channel.pace.wrote(entry.frames, channel.writingSince);
      const outcome = await this.#write(
        replica,
        encodeStamp({ dispatcher: this.#incarnation, sequence: channel.sequence }),
        entry.bytes,
      );
      channel.writingSince = undefined;
      if (typeof outcome === 'number') {
        channel.written.push({ atMs: outcome, bytes: entry.bytes.length });
        channel.pending.written(entry);
        channel.givenUp = false;
      } else {
        this.#giveUp(replica, outcome);
        break;
      }
      const waitMs = channel.pending.isEmpty || channel.pending.hasFull ? 0 : channel.pace.waitMs(performance.now());
      if (waitMs > 0) await endOfTurn(waitMs);
    }
    channel.busy = false;
    channel.isAwaited = false;
    if (this.#idle !== undefined && ![...this.#channels.values()].some(({ busy }) => busy)) this.#idle();
  }

  /** @returns the Redis time of the new entry, in ms. NOMKSTREAM: a plain XADD would recreate an expired stream without a TTL. */
  async #write(replica: string, stamp: string, entry: Buffer): Promise<number | 'lease lapsed' | 'refused'> {
    for (let waitedMs = 0, pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      try {
        const id = await this.#redis.xadd(redisKeys.replies(replica), 'NOMKSTREAM', '*', 's', stamp, 'b', entry);
        return id === null ? 'lease lapsed' : entryMs(id);
      } catch (cause) {
        if (waitedMs === 0) this.#log.warn({ replica, cause }, 'reply write refused');
        if (waitedMs >= REFUSED_LIMIT_MS) return 'refused';
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      waitedMs += pauseMs;
    }
  }

  #giveUp(replica: string, why: string): void {
    // The sequence goes on, so that a replica that returns under the same name does not drop new entries as repeats.
    const channel = this.#channel(replica);
    channel.pending.clear();
    channel.full = false;
    if (!channel.givenUp) this.#log.warn({ replica, why }, 'replica given up');
    channel.givenUp = true;
    this.#events.gone(replica);
  }

  #beat(): void {
    const frame: Frame = { type: 'heartbeat', requestId: '', epoch: 0, attempt: 0, payload: Buffer.alloc(0) };
    for (const [replica, channel] of this.#channels) {
      if (channel.writers === 0) continue;
      this.send(replica, frame);
      void this.#lookBehind(replica, channel).catch(() => {});
    }
  }

  /** The replica trims read entries, so the first entry is the first unread one; for an older replica, the last read one. */
  async #lookBehind(replica: string, channel: Channel): Promise<void> {
    const entries = await this.#redis.xrange(redisKeys.replies(replica), '-', '+', 'COUNT', 1);
    const unreadFrom = entryMs(entries[0]?.[0] ?? '');
    channel.written = Number.isNaN(unreadFrom) ? [] : channel.written.filter(({ atMs }) => atMs >= unreadFrom);
    const lagMs = (channel.written.at(-1)?.atMs ?? 0) - (channel.written[0]?.atMs ?? 0);
    const unreadBytes = channel.written.reduce((sum, { bytes }) => sum + bytes, 0);
    const behind = lagMs > (channel.behind ? CAUGHT_UP_MS : BEHIND_MS) || unreadBytes > BEHIND_BYTES;
    if (behind !== channel.behind)
      this.#log.warn({ replica, behind, lagMs, unreadBytes }, 'replica reads its replies late');
    // Repeated each time, for attempts that have started since.
    if (behind || channel.behind || channel.full) this.#events.behind(replica, behind || channel.full);
    channel.behind = behind;
  }
}
