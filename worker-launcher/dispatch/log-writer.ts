import { entryId } from '#contract/answer-log';
import { redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import { LostConnection, NumberedConnection } from '#runtime/numbered-connection';
import type { RedisClient } from '#runtime/redis-client';
import { defineLogScripts } from './answer-log-scripts.ts';
import type { Line, LineEntry } from './log-line.ts';

/** A refused write (out of memory, read-only) is retried for this long, in milliseconds. */
const REFUSED_LIMIT_MS = 10_000;

/** The commands that write logs. Each names the connection that it is for. */
export class LogWriter {
  readonly connection: NumberedConnection;
  readonly #incarnation: string;
  readonly #log: Log;

  constructor(redis: RedisClient, incarnation: string, log: Log, onOpen: () => void) {
    defineLogScripts(redis);
    this.connection = new NumberedConnection(redis, onOpen);
    this.#incarnation = incarnation;
    this.#log = log;
  }

  /** See `penstockClaim`. @throws LostConnection; Error as Redis refuses it */
  claim(connection: number, { job, token, life, claim }: Line): Promise<number> {
    const { model, requestId } = job;
    return this.connection.run(connection, (redis) =>
      redis.penstockClaim(
        redisKeys.answer(model, requestId),
        redisKeys.answerLog(model, requestId),
        requestId,
        token.epoch,
        token.attempt,
        this.#incarnation,
        claim,
        redisKeys.ownersPrefix(model),
        entryId(life, 0),
      ),
    );
  }

  /** @returns the attempts that must end @throws LostConnection */
  async write(connection: number, model: string, entries: readonly LineEntry[]): Promise<Line[]> {
    const keys = entries.flatMap(({ line: { job } }) => [
      redisKeys.answer(model, job.requestId),
      redisKeys.answerLog(model, job.requestId),
    ]);
    const args = entries.flatMap(({ line: { job, life }, n, frames }) => [job.requestId, entryId(life, n), frames]);
    const prefix = redisKeys.ownersPrefix(model);
    const refused = await this.insist(model, () =>
      this.connection.run(connection, (redis) =>
        redis.penstockLog(keys.length, ...keys, this.#incarnation, prefix, ...args),
      ),
    );
    if (refused === undefined) return entries.map(({ line }) => line);
    return refused.flatMap((number) => entries[number - 1]?.line ?? []);
  }

  /** @returns undefined: Redis refused it for too long @throws LostConnection */
  async insist<T>(model: string, command: () => Promise<T>): Promise<T | undefined> {
    for (let waitedMs = 0, pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      try {
        return await command();
      } catch (cause) {
        if (cause instanceof LostConnection) throw cause;
        if (waitedMs === 0) this.#log.warn({ model, cause }, 'Redis refuses to store parts of durable answers');
        if (waitedMs >= REFUSED_LIMIT_MS) return undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      waitedMs += pauseMs;
    }
  }
}
