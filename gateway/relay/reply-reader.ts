import { entryMs } from '#contract/frame';
import { LEASE_REFRESH_MS } from '#contract/redis-keys';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { followConnection, timeAt, type RedisClient } from '#runtime/redis-client';
import { isWrongType } from '#runtime/redis-errors';
import { ReplyStream, type ReplyEvents } from './reply-stream.ts';

const READ_COUNT = 512;
const BLOCK_MS = 500;
const SAMPLE_MS = 500;
const TRIM_MS = 250;
/** Pause after a failed read, in ms. */
const PAUSE_MS = 200;
/** An answer of Redis later than this, in ms, means that Redis hung, and proves no dispatcher silent. */
const LATE_MS = BLOCK_MS + 1_000;
/** After an outage of Redis or of this connection, dispatchers have this long to be heard again, in milliseconds. */
const GRACE_MS = 5_000;

export interface ReplyReaderDeps {
  /** used for the blocking read alone */
  readonly reader: RedisClient;
  readonly commands: RedisClient;
  readonly replica: string;
  readonly models: readonly string[];
  readonly clock: Clock;
  readonly events: ReplyEvents;
  readonly log: Log;
}

/** Reads this replica's reply streams in order, keeps their leases, and measures how long each dispatcher is silent. */
export class ReplyReader {
  readonly #deps: ReplyReaderDeps;
  /** by model */
  readonly #streams: ReadonlyMap<string, ReplyStream>;
  /** Redis time at which everything written so far had been read */
  #caughtUpAtMs = 0;
  #lagMs = 0;
  #sampledAt = 0;
  #judgeFrom = 0;
  #answeredAt = 0;
  #stopped = false;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(deps: ReplyReaderDeps) {
    this.#deps = deps;
    const { replica, models, events, log } = deps;
    this.#streams = new Map(models.map((model) => [model, new ReplyStream(replica, model, events, log)]));
  }

  /** Creates the streams and starts to read. @throws if Redis does not answer */
  async start(): Promise<void> {
    await this.#each((stream) => stream.create(this.#deps.commands));
    followConnection(this.#deps.reader, () => {
      this.#judgeFrom = this.#deps.clock() + GRACE_MS;
    });
    const renew = (): void =>
      void this.#each((stream) => stream.renew(this.#deps.commands, () => !this.#stopped)).catch(() => {});
    const trim = (): void => void this.#each((stream) => stream.trim(this.#deps.commands)).catch(() => {});
    // A Redis without a file loses the streams in a restart: the sooner they are recreated, the fewer requests are refused.
    followConnection(this.#deps.commands, renew);
    this.#timers.push(setInterval(renew, LEASE_REFRESH_MS), setInterval(trim, TRIM_MS));
    void this.#loop();
  }

  /** Removes the streams: dispatchers see at their next write that this replica no longer reads. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#deps.reader.disconnect();
    await this.#each(({ key }) => this.#deps.commands.del(key));
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

  /** Silence of a model's dispatcher in Redis time, in milliseconds; 0 while it cannot be judged. */
  silenceMs(model: string, dispatcher: string): number {
    const heardAtMs = this.#streams.get(model)?.heardAtMs(dispatcher);
    if (heardAtMs === undefined || this.#deps.clock() < this.#judgeFrom) return 0;
    return Math.max(0, this.#caughtUpAtMs - heardAtMs);
  }

  async #each(run: (stream: ReplyStream) => Promise<unknown>): Promise<void> {
    await Promise.all([...this.#streams.values()].map(run));
  }

  async #loop(): Promise<void> {
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const byKey = new Map([...this.#streams.values()].map((stream) => [stream.key, stream]));
    const block = ['COUNT', READ_COUNT, 'BLOCK', BLOCK_MS] as const;
    while (!this.#stopped) {
      try {
        const askedAt = this.#deps.clock();
        const streams = [...byKey.values()].filter(({ isReplaced }) => !isReplaced);
        if (streams.length === 0) await pause();
        if (streams.length === 0) continue;
        const [keys, from] = [streams.map(({ key }) => key), streams.map(({ lastId }) => lastId)];
        const read = await this.#deps.reader.xreadBuffer(...block, 'STREAMS', ...keys, ...from);
        const answeredAt = this.#deps.clock();
        this.#answeredAt = answeredAt;
        if (answeredAt - askedAt > LATE_MS) this.#judgeFrom = answeredAt + GRACE_MS;
        for (const [key, entries] of read ?? []) {
          const stream = byKey.get(key.toString());
          for (const [id, fields] of entries) stream?.take(id.toString('latin1'), fields);
        }
        const fullest = (read ?? []).find(([, entries]) => entries.length >= READ_COUNT);
        await this.#sample(fullest?.[1].at(-1)?.[0].toString('latin1'));
      } catch (cause) {
        if (this.#stopped) return;
        this.#deps.log.warn({ cause }, 'reply stream not read');
        // The streams of other models are read on.
        if (isWrongType(cause)) await this.#each((stream) => stream.look(this.#deps.commands)).catch(() => {});
        else await pause();
      }
    }
  }

  /** @param unreadAfter an entry after which more may be unread; undefined: everything was read */
  async #sample(unreadAfter: string | undefined): Promise<void> {
    const now = this.#deps.clock();
    if (now - this.#sampledAt < SAMPLE_MS) return;
    this.#sampledAt = now;
    // All streams are in one slot, so one server has them.
    const stream = [...this.#streams.values()].find(({ isReplaced }) => !isReplaced);
    const redisMs = await timeAt(this.#deps.reader, stream?.key ?? '');
    if (unreadAfter === undefined) this.#caughtUpAtMs = redisMs;
    this.#lagMs = unreadAfter === undefined ? 0 : Math.max(0, redisMs - entryMs(unreadAfter));
  }
}
