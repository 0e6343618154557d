import type { Result } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';
import { ARCHIVE } from './answer-scripts.ts';
import { pack, unpack, type RawEntry } from './archive.ts';
import { decodedEntry, type LogEntry } from './log-entries.ts';
import type { KeptRequest } from './record.ts';

const ENTRIES_AT_ONCE = 1_000;
/** A log stays this long beside its packed form, in ms. */
const LOG_AFTER_MS = 60_000;
/** What the record of an answer needs in Redis, in bytes. */
export const LEAST_BYTES = 4_096;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockAnswerArchive(...args: (string | number | Buffer)[]): Result<number, Context>;
  }
}

/** The answer whose log it is. */
interface Named {
  readonly model: string;
  readonly id: string;
}

/** The logs of durable answers in the first Redis, packed and not. Every method throws while Redis is away. */
export class LogStore {
  readonly #redis: RedisClient;

  constructor(redis: RedisClient) {
    redis.defineCommand('penstockAnswerArchive', { numberOfKeys: 6, lua: ARCHIVE });
    this.#redis = redis;
  }

  /** Entries of a log after the given one. @param after id of an entry; empty: from the start */
  async entries(model: string, id: string, after = ''): Promise<LogEntry[]> {
    const found = await this.#rawEntries(model, id, after);
    const packed = found.length > 0 ? null : await this.#redis.getBuffer(redisKeys.answerArchive(model, id));
    const raw = packed === null ? found : await unpack(packed);
    return raw.map(([entry, ...field]) => decodedEntry(entry.toString('latin1'), field));
  }

  /**
   * Packs the log of an answer that is over; the log itself goes soon after, because readers may follow it. Only what a complete
   * answer was asked stays.
   */
  async archive(
    { model, id }: Named,
    { keyId, keptMs, inputBytes = 0 }: KeptRequest,
    answer: string,
    isWhole = false,
  ): Promise<void> {
    const packed = await pack(await this.#rawEntries(model, id, ''));
    const keys = [redisKeys.answer(model, id), redisKeys.answerArchive(model, id), redisKeys.answerLog(model, id)];
    const bytes = LEAST_BYTES + (isWhole ? inputBytes : 0) + packed.length + Buffer.byteLength(answer);
    const lives = [keptMs, Math.min(keptMs, LOG_AFTER_MS)];
    const args = [id, packed, keyId, ...lives, bytes, isWhole ? 1 : 0];
    await this.#redis.penstockAnswerArchive(...keys, redisKeys.answerInput(model, id), ...sizeKeys(model), ...args);
  }

  async #rawEntries(model: string, id: string, after: string): Promise<RawEntry[]> {
    const key = redisKeys.answerLog(model, id);
    const entries: RawEntry[] = [];
    for (let from = after === '' ? '-' : `(${after}`; ;) {
      const found = await this.#redis.xrangeBuffer(key, from, '+', 'COUNT', ENTRIES_AT_ONCE);
      for (const [entry, [name, value]] of found)
        if (name !== undefined && value !== undefined) entries.push([entry, name, value]);
      if (found.length < ENTRIES_AT_ONCE) return entries;
      from = `(${entries.at(-1)?.[0].toString('latin1') ?? after}`;
    }
  }
}

/** Keys of what durable answers keep, see `COUNT` in `answer-scripts.ts`. */
export function sizeKeys(model: string): [string, string] {
  return [redisKeys.keptLapses(model), redisKeys.keptSizes(model)];
}
