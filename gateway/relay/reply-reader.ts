import { decodeFrames, decodeStamp, entryMs, type Frame } from '#contract/frame';
import { redisKeys, LEASE_MS, LEASE_REFRESH_MS } from '#contract/redis-keys';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { followConnection, timeAt, type RedisClient } from '#runtime/redis-client';

const READ_COUNT = 512;
const BLOCK_MS = 500;
const SAMPLE_MS = 500;
const TRIM_MS = 250;
/** An answer of Redis later than this, in ms, means that Redis hung, and proves no dispatcher silent. */
const LATE_MS = BLOCK_MS + 1_000;
/** After an outage of Redis or of this connection, dispatchers have this long to be heard again, in milliseconds. */
const GRACE_MS = 5_000;

interface ReplyEvents {
  frames(dispatcher: string, frames: readonly Frame[]): void;
  /** entries of this dispatcher are missing: its running answers are incomplete */
  gap(dispatcher: string): void;
  /** this replica's stream had lapsed: dispatchers assumed that the replica died and dropped its requests */
  leaseLost(): void;
}

export interface ReplyReaderDeps {
  /** used for the blocking read alone */
  readonly reader: RedisClient;
  readonly commands: RedisClient;
  readonly replica: string;
  readonly clock: Clock;
  readonly events: ReplyEvents;
  readonly log: Log;
}

/** Reads this replica's reply stream in order, keeps its lease, and measures how long each dispatcher is silent. */
export class ReplyReader {
  readonly #deps: ReplyReaderDeps;
  readonly #key: string;
  #lastId = '0-0';
  /** per dispatcher: last sequence taken, and the Redis time of its last entry in ms */
  readonly #heard = new Map<string, { sequence: number; atMs: number }>();
  /** Redis time at which everything written so far had been read */
  #caughtUpAtMs = 0;
  #lagMs = 0;
  #sampledAt = 0;
  #judgeFrom = 0;
  #answeredAt = 0;
  #trimmedId = '0-0';
  #isCreating = false;
  #stopped = false;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(deps: ReplyReaderDeps) {
    this.#deps = deps;
    this.#key = redisKeys.replies(deps.replica);
  }

  /** Creates the stream and starts to read. @throws if Redis does not answer */
  async start(): Promise<void> {
    await this.#createStream();
    followConnection(this.#deps.reader, () => {
      this.#judgeFrom = this.#deps.clock() + GRACE_MS;
    });
    // A Redis without a file loses the stream in a restart: the sooner it is recreated, the fewer requests are refused.
    followConnection(this.#deps.commands, () => void this.#refreshLease().catch(() => {}));
    this.#timers.push(setInterval(() => void this.#refreshLease().catch(() => {}), LEASE_REFRESH_MS));
    this.#timers.push(setInterval(() => void this.#trim().catch(() => {}), TRIM_MS));
    void this.#loop();
  }

  /** Removes the stream: dispatchers see at their next write that this replica no longer reads. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#deps.reader.disconnect();
    await this.#deps.commands.del(this.#key);
  }

  /** How far the entries just read are behind, in milliseconds; 0 when everything was read. */
  get lagMs(): number {
    return this.#lagMs;
  }

  /** Redis answers this reader, so whatever is unread was not written. */
  get hears(): boolean {
    const now = this.#deps.clock();
    return now >= this.#judgeFrom && now - this.#answeredAt < LATE_MS && this.#lagMs === 0;
  }

  /** Silence of a dispatcher in Redis time, in milliseconds; 0 while it cannot be judged. */
  silenceMs(dispatcher: string): number {
    const heard = this.#heard.get(dispatcher);
    if (heard === undefined || this.#deps.clock() < this.#judgeFrom) return 0;
    return Math.max(0, this.#caughtUpAtMs - heard.atMs);
  }

  async #createStream(): Promise<void> {
    const { commands } = this.#deps;
    // In one transaction, so that no stream stays without an expiry.
    const results = await commands.multi().xadd(this.#key, '*', 's', '', 'b', '').pexpire(this.#key, LEASE_MS).exec();
    const [failure, id] = results?.[0] ?? [];
    if (typeof id !== 'string') throw failure ?? new Error('the reply stream was not created');
    // A real id, never `$`, which would skip entries that are written between two reads.
    this.#lastId = id;
    this.#heard.clear();
  }

  async #refreshLease(): Promise<void> {
    if ((await this.#deps.commands.pexpire(this.#key, LEASE_MS)) === 1 || this.#stopped || this.#isCreating) return;
    this.#isCreating = true;
    try {
      this.#deps.log.error({}, 'the lease of this replica had lapsed');
      await this.#createStream();
      this.#deps.events.leaseLost();
    } finally {
      this.#isCreating = false;
    }
  }

  /** Trims by what was read, never by count, and to the last entry, so no answer stays. The empty stream stays. */
  async #trim(): Promise<void> {
    const read = this.#lastId;
    if (this.#trimmedId === read) return;
    await this.#deps.commands.xtrim(this.#key, 'MINID', nextId(read));
    this.#trimmedId = read;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      try {
        const from = this.#lastId;
        const askedAt = this.#deps.clock();
        const streams = await this.#deps.reader.xreadBuffer(
          'COUNT',
          READ_COUNT,
          'BLOCK',
          BLOCK_MS,
          'STREAMS',
          this.#key,
          from,
        );
        const answeredAt = this.#deps.clock();
        this.#answeredAt = answeredAt;
        if (answeredAt - askedAt > LATE_MS) this.#judgeFrom = answeredAt + GRACE_MS;
        const entries = streams?.[0]?.[1] ?? [];
        for (const [id, fields] of entries) this.#take(id.toString('latin1'), fields);
        await this.#sample(entries.length < READ_COUNT);
      } catch (cause) {
        if (this.#stopped) return;
        this.#deps.log.warn({ cause }, 'reply stream not read');
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }

  async #sample(everythingRead: boolean): Promise<void> {
    const now = this.#deps.clock();
    if (now - this.#sampledAt < SAMPLE_MS) return;
    this.#sampledAt = now;
    const redisMs = await timeAt(this.#deps.reader, this.#key);
    if (everythingRead) this.#caughtUpAtMs = redisMs;
    this.#lagMs = everythingRead ? 0 : Math.max(0, redisMs - entryMs(this.#lastId));
  }

  #take(id: string, fields: readonly Buffer[]): void {
    this.#lastId = id;
    const stamp = decodeStamp(fieldOf(fields, 's')?.toString('latin1') ?? '');
    if (stamp === undefined) return;
    const { dispatcher, sequence } = stamp;
    if (Number.isNaN(sequence)) {
      this.#deps.events.gap(dispatcher);
      return;
    }
    const heard = this.#heard.get(dispatcher);
    // ioredis sends a command again after a reconnect: the same entry may appear twice.
    if (heard !== undefined && sequence <= heard.sequence) return;
    const frames = this.#decode(dispatcher, fieldOf(fields, 'b'));
    if (frames === undefined || (heard !== undefined && sequence > heard.sequence + 1))
      this.#deps.events.gap(dispatcher);
    this.#heard.set(dispatcher, { sequence, atMs: entryMs(id) });
    if (frames !== undefined) this.#deps.events.frames(dispatcher, frames);
  }

  /** @returns undefined for bytes that cannot be read, which count as lost */
  #decode(dispatcher: string, bytes: Buffer | undefined): readonly Frame[] | undefined {
    try {
      if (bytes === undefined) throw new Error('reply entry holds no frames');
      return decodeFrames(bytes);
    } catch (cause) {
      this.#deps.log.error({ cause, dispatcher }, 'a reply entry could not be read');
      return undefined;
    }
  }
}

/** An entry holds names and values in turn; a newer dispatcher may add some. */
function fieldOf(fields: readonly Buffer[], name: string): Buffer | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i]?.toString('latin1') === name) return fields[i + 1];
  return undefined;
}

/** The smallest id after this one: `<ms>-<number within it>`. */
function nextId(streamId: string): string {
  const dash = streamId.indexOf('-');
  return `${streamId.slice(0, dash)}-${BigInt(streamId.slice(dash + 1)) + 1n}`;
}
