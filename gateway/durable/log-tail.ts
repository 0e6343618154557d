import { redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { decodedEntry, isAfter, type LogEntry } from './log-entries.ts';

/** How often the followed logs are read, in ms. */
const READ_EVERY_MS = 50;
const READ_COUNT = 200;
/** How often logs are looked for, in ms: a deleted answer has none. */
const LOOK_EVERY_MS = 1_000;
/** So many looks in vain: after a fail-over of Redis its owner may write it again. */
const LOOKS = 3;

interface Follower {
  last: string;
  readonly onEntries: (entries: readonly LogEntry[]) => void;
  readonly onGone: () => void;
}

/** Follows the logs of durable answers for their readers: one command a model reads what is new in all of them. */
export class LogTail {
  readonly #redis: RedisClient;
  readonly #log: Log;
  /** by model and key of the log */
  readonly #followed = new Map<string, Map<string, Set<Follower>>>();
  /** how often a log was looked for in vain, by its key */
  readonly #missed = new Map<string, number>();
  #isReading = false;
  #lookedAt = 0;

  constructor(redis: RedisClient, log: Log) {
    this.#redis = redis;
    this.#log = log;
  }

  /** @param last entry after which the reader wants all @returns ends it */
  follow(model: string, id: string, last: string, events: Omit<Follower, 'last'>): () => void {
    const key = redisKeys.answerLog(model, id);
    const ofModel = this.#followed.get(model) ?? new Map<string, Set<Follower>>();
    this.#followed.set(model, ofModel);
    const followers = ofModel.get(key) ?? new Set();
    ofModel.set(key, followers);
    const follower = { last, ...events };
    followers.add(follower);
    if (!this.#isReading) void this.#readAll();
    return () => {
      followers.delete(follower);
      if (followers.size === 0) ofModel.delete(key);
      if (ofModel.size === 0) this.#followed.delete(model);
    };
  }

  async #readAll(): Promise<void> {
    this.#isReading = true;
    while (this.#followed.size > 0) {
      const isLooking = performance.now() - this.#lookedAt > LOOK_EVERY_MS;
      if (isLooking) this.#lookedAt = performance.now();
      for (const ofModel of this.#followed.values())
        await this.#read(ofModel, isLooking).catch((cause: unknown) =>
          this.#log.debug({ cause }, 'logs of durable answers not read'),
        );
      await new Promise((resolve) => setTimeout(resolve, READ_EVERY_MS));
    }
    this.#isReading = false;
  }

  async #read(ofModel: ReadonlyMap<string, ReadonlySet<Follower>>, isLooking: boolean): Promise<void> {
    const keys = [...ofModel.keys()];
    const ids = [...ofModel.values()].map((followers) => earliest([...followers].map(({ last }) => last)));
    const streams = await this.#redis.xreadBuffer('COUNT', READ_COUNT, 'STREAMS', ...keys, ...ids);
    for (const [key, entries] of streams ?? []) {
      const read = entries.map(([id, fields]) => decodedEntry(id.toString('latin1'), fields));
      for (const follower of ofModel.get(key.toString()) ?? []) give(follower, read);
    }
    if (!isLooking) return;
    const found = await Promise.all(keys.map((key) => this.#redis.exists(key)));
    for (const [index, key] of keys.entries()) {
      const missed = found[index] === 0 ? (this.#missed.get(key) ?? 0) + 1 : 0;
      if (missed > 0 && missed < LOOKS) this.#missed.set(key, missed);
      else this.#missed.delete(key);
      if (missed === LOOKS) for (const { onGone } of ofModel.get(key) ?? []) onGone();
    }
  }
}

/** Several readers of one log are at different places. */
function give(follower: Follower, read: readonly LogEntry[]): void {
  const fresh = read.filter(({ id }) => isAfter(id, follower.last));
  const last = fresh.at(-1);
  if (last === undefined) return;
  follower.last = last.id;
  follower.onEntries(fresh);
}

function earliest(ids: readonly string[]): string {
  return ids.reduce((first, id) => (isAfter(first, id) ? id : first));
}
