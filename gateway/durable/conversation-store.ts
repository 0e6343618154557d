import { createHash } from 'node:crypto';
import type { Result } from 'ioredis';
import { z } from 'zod';
import { ANSWER_STATES } from '#contract/answer-log';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';
import { setPieces } from '#runtime/redis-set-pieces';
import { likelyFirst } from './answer-id.ts';
import { COUNT, OWNED } from './answer-scripts.ts';
import { KeptRequest } from './record.ts';

/** Bytes of the items of a model's answers, of all keys and of one. Above it items are not kept. */
const ITEM_BYTES = 64 * 1024 * 1024;
const ITEM_KEY_BYTES = 16 * 1024 * 1024;
/** What an item needs besides its text. */
const ITEM_OVERHEAD = 256;

/**
 * Keeps an item of an answer. KEYS: 1 the item, 2 and 3 see `COUNT`. ARGV: 1 its hash, 2 the item, 3 id of the key, 4 life
 * span in ms, 5 limit of bytes for all. 6 limit for one key, 7 bytes to count.
 */
const KEEP_ITEM = `${OWNED}${COUNT}
for _, hash in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now(), 'LIMIT', 0, 100)) do count(KEYS[2], KEYS[3], hash) end
local sums = redis.call('HMGET', KEYS[3], '*', '* ' .. ARGV[3])
if tonumber(sums[1] or '0') + ARGV[7] > tonumber(ARGV[5]) then return 0 end
if tonumber(sums[2] or '0') + ARGV[7] > tonumber(ARGV[6]) then return 0 end
count(KEYS[2], KEYS[3], ARGV[1], ARGV[7], ARGV[3], ARGV[4])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
return 1`;

/** Keeps what a response says, unless it was removed. KEYS: 1 the record, 2 the text. ARGV: 1 the text, 2 life span in ms. */
const KEEP_SAID = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1`;

/** KEYS: 1 the item, 2 and 3 see `COUNT`. ARGV: its hash. */
const DROP_ITEM = `${OWNED}${COUNT}
count(KEYS[2], KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1])`;

/**
 * Lengthens the life of a kept response. KEYS: 1 the record, 2 the packed log, 3 the input, 4 the text, 5 and 6 see `COUNT`.
 * ARGV: 1 id, 2 life span in ms.
 */
const USED = `${OWNED}
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
redis.call('ZADD', KEYS[5], 'XX', now() + ARGV[2], ARGV[1])
for i = 5, 6 do
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return 1`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockKeepItem(...args: (string | number)[]): Result<number, Context>;
    penstockKeepSaid(...args: (string | number)[]): Result<number, Context>;
    penstockDropItem(...args: string[]): Result<number, Context>;
    penstockUsed(...args: (string | number)[]): Result<number, Context>;
  }
}

/** Of the record of a kept response. */
const Outline = z.object({
  key: z.string(),
  state: z.enum(ANSWER_STATES),
  asked: z.string().transform((text) => KeptRequest.parse(JSON.parse(text))),
});

/** A kept response that a request may follow. */
export interface Link {
  readonly model: string;
  readonly id: string;
  readonly state: (typeof ANSWER_STATES)[number];
  readonly hasInput: boolean;
  readonly inputBytes: number;
  readonly keptMs: number;
  /** the response before it */
  readonly previous: string | null;
}

/** An item of an answer, and whose it is. */
interface ItemName {
  readonly model: string;
  readonly keyId: string;
  readonly id: string;
}

/** What kept responses were asked, and single items of answers, in the first Redis. Every method throws while it is away. */
export class ConversationStore {
  readonly #redis: RedisClient;
  readonly #models: readonly string[];

  constructor(redis: RedisClient, models: readonly string[]) {
    redis.defineCommand('penstockKeepItem', { numberOfKeys: 3, lua: KEEP_ITEM });
    redis.defineCommand('penstockKeepSaid', { numberOfKeys: 2, lua: KEEP_SAID });
    redis.defineCommand('penstockDropItem', { numberOfKeys: 3, lua: DROP_ITEM });
    redis.defineCommand('penstockUsed', { numberOfKeys: 6, lua: USED });
    this.#redis = redis;
    this.#models = models;
  }

  /** Keeps what a response was asked. @param lifeMs until the end of the response at the latest, and as long as it is kept */
  async keepInput(model: string, id: string, input: readonly Buffer[], lifeMs: number): Promise<void> {
    await setPieces(this.#redis, redisKeys.answerInput(model, id), input, lifeMs);
  }

  /** Keeps what a complete response says. */
  async keepSaid(model: string, id: string, text: string, lifeMs: number): Promise<void> {
    await this.#redis.penstockKeepSaid(redisKeys.answer(model, id), redisKeys.answerSaid(model, id), text, lifeMs);
  }

  /** @returns undefined if there is none, or it is another key's */
  async link(id: string, keyId: string): Promise<Link | undefined> {
    for (const model of likelyFirst(this.#models, id)) {
      const [key, state, asked] = await this.#redis.hmget(redisKeys.answer(model, id), 'key', 'state', 'asked');
      const found = Outline.safeParse({ key, state, asked }).data;
      if (found?.key !== keyId || found.asked.post !== undefined) continue;
      const { inputBytes, keptMs, shown } = found.asked;
      const previous = shown['previous_response_id'];
      return {
        model,
        id,
        state: found.state,
        hasInput: inputBytes !== undefined,
        inputBytes: inputBytes ?? 0,
        keptMs,
        previous: typeof previous === 'string' ? previous : null,
      };
    }
    return undefined;
  }

  /** @returns undefined if it is not kept */
  async said(model: string, id: string): Promise<string | undefined> {
    return (await this.#redis.get(redisKeys.answerSaid(model, id))) ?? undefined;
  }

  /** @returns undefined if it is not kept */
  async input(model: string, id: string): Promise<Buffer | undefined> {
    return (await this.#redis.getBuffer(redisKeys.answerInput(model, id))) ?? undefined;
  }

  /** A response that a later one follows is kept for the whole time again. */
  async used(model: string, id: string, keptMs: number): Promise<void> {
    const keys = [redisKeys.answer(model, id), redisKeys.answerArchive(model, id), redisKeys.answerInput(model, id)];
    const sizes = [redisKeys.keptLapses(model), redisKeys.keptSizes(model)];
    await this.#redis.penstockUsed(...keys, redisKeys.answerSaid(model, id), ...sizes, id, keptMs);
  }

  /** @param text of the item @returns false: there are too many of them */
  async keepItem(name: ItemName, text: string, lifeMs: number): Promise<boolean> {
    const { hash, keys } = itemKeys(name);
    const limits = [ITEM_BYTES, ITEM_KEY_BYTES, ITEM_OVERHEAD + Buffer.byteLength(text)];
    return (await this.#redis.penstockKeepItem(...keys, hash, text, name.keyId, lifeMs, ...limits)) === 1;
  }

  /** @returns its text; undefined if it is not kept for this key */
  async item(name: ItemName): Promise<string | undefined> {
    return (await this.#redis.get(itemKeys(name).keys[0])) ?? undefined;
  }

  async dropItem(name: ItemName): Promise<void> {
    const { hash, keys } = itemKeys(name);
    await this.#redis.penstockDropItem(...keys, hash);
  }
}

/** The name of an item has its key, so that no other key finds it. */
function itemKeys({ model, keyId, id }: ItemName): { readonly hash: string; readonly keys: [string, string, string] } {
  const hash = createHash('sha256')
    .update(JSON.stringify([keyId, id]))
    .digest('hex')
    .slice(0, 32);
  return { hash, keys: [redisKeys.item(model, hash), redisKeys.itemLapses(model), redisKeys.itemSizes(model)] };
}
