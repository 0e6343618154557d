import type { Redis } from 'ioredis';
import { encodeFrame, type Frame } from '#contract/frame';
import { keys } from '#contract/keys';
import type { Log } from '#runtime/log';

/** Bytes waiting for one replica at which it is given up: nobody reads there. */
const PENDING_LIMIT_BYTES = 64 * 1024 * 1024;
/** Bytes of one stream entry, so that a large answer does not hold up the other requests' tokens. */
const ENTRY_LIMIT_BYTES = 1024 * 1024;
/** A refused write (out of memory, read-only) is tried again this long, in milliseconds. */
const REFUSED_LIMIT_MS = 10_000;
const HEARTBEAT_MS = 1_000;

interface Channel {
  sequence: number;
  pending: [header: Buffer, payload: Buffer][];
  pendingBytes: number;
  /** a flush is scheduled or an XADD is outstanding */
  busy: boolean;
  /** attempts that write to this replica */
  writers: number;
}

/**
 * Writes frames to the reply streams of the replicas, in order. All frames of one event-loop turn share one entry, and
 * at most one XADD per replica is outstanding, so that a refused one cannot be overtaken.
 */
export class Publisher {
  readonly #redis: Redis;
  readonly #incarnation: string;
  readonly #onGone: (replica: string) => void;
  readonly #log: Log;
  readonly #channels = new Map<string, Channel>();
  readonly #heartbeat: NodeJS.Timeout;
  #idle: (() => void) | undefined;

  /** @param onGone the replica's lease lapsed or it takes no more: its attempts are for nobody */
  constructor(redis: Redis, incarnation: string, onGone: (replica: string) => void, log: Log) {
    this.#redis = redis;
    this.#incarnation = incarnation;
    this.#onGone = onGone;
    this.#log = log;
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  /** Says that an attempt writes to this replica: while any does, the replica hears a heartbeat a second. */
  retain(replica: string): () => void {
    const channel = this.#channel(replica);
    channel.writers += 1;
    return () => {
      channel.writers -= 1;
    };
  }

  send(replica: string, frame: Frame): void {
    const channel = this.#channel(replica);
    const pieces = encodeFrame(frame);
    channel.pending.push(pieces);
    channel.pendingBytes += pieces[0].length + pieces[1].length;
    if (channel.pendingBytes > PENDING_LIMIT_BYTES) {
      this.#giveUp(replica, 'too many unread bytes');
      return;
    }
    if (!channel.busy) {
      channel.busy = true;
      setImmediate(() => void this.#flush(replica, channel));
    }
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
      channel = { sequence: 0, pending: [], pendingBytes: 0, busy: false, writers: 0 };
      this.#channels.set(replica, channel);
    }
    return channel;
  }

  async #flush(replica: string, channel: Channel): Promise<void> {
    while (channel.pending.length > 0) {
      const entry = takeEntry(channel);
      channel.sequence += 1;
      const outcome = await this.#write(replica, `${this.#incarnation}:${String(channel.sequence)}`, entry);
      if (outcome !== 'written') {
        this.#giveUp(replica, outcome);
        break;
      }
    }
    channel.busy = false;
    if (this.#idle !== undefined && ![...this.#channels.values()].some(({ busy }) => busy)) this.#idle();
  }

  /** NOMKSTREAM: a plain XADD would recreate a lapsed stream, without a life span, for ever. */
  async #write(replica: string, stamp: string, entry: Buffer): Promise<'written' | 'lease lapsed' | 'refused'> {
    for (let waitedMs = 0, pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      try {
        const id = await this.#redis.xadd(keys.replies(replica), 'NOMKSTREAM', '*', 's', stamp, 'b', entry);
        return id === null ? 'lease lapsed' : 'written';
      } catch (cause) {
        if (waitedMs === 0) this.#log.warn({ replica, cause }, 'reply write refused');
        if (waitedMs >= REFUSED_LIMIT_MS) return 'refused';
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      waitedMs += pauseMs;
    }
  }

  #giveUp(replica: string, why: string): void {
    // The sequence goes on: a replica that comes back under the same name must not take new entries for repeats.
    const channel = this.#channel(replica);
    channel.pending = [];
    channel.pendingBytes = 0;
    this.#log.warn({ replica, why }, 'replica given up');
    this.#onGone(replica);
  }

  #beat(): void {
    const frame: Frame = { type: 'heartbeat', requestId: '', epoch: 0, attempt: 0, payload: Buffer.alloc(0) };
    for (const [replica, channel] of this.#channels) if (channel.writers > 0) this.send(replica, frame);
  }
}

/** Takes whole frames off the front, as many as fit one entry; at least one. */
function takeEntry(channel: Channel): Buffer {
  let count = 0;
  let bytes = 0;
  for (const [header, payload] of channel.pending) {
    if (count > 0 && bytes + payload.length > ENTRY_LIMIT_BYTES) break;
    bytes += header.length + payload.length;
    count += 1;
  }
  channel.pendingBytes -= bytes;
  return Buffer.concat(channel.pending.splice(0, count).flat(), bytes);
}
