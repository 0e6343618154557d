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
  async claim(connection: number, line: Line): Promise<number> {
    const { job, token, claim, idStart, recordKey, logKey } = line;
    const { model, requestId } = job;
    const [next, owner] = await this.connection.run(connection, (redis) =>
      redis.penstockClaim(
        recordKey,
        logKey,
        requestId,
        token.epoch,
        token.attempt,
        this.#incarnation,
        claim,
        redisKeys.ownersPrefix(model),
        `${idStart}0`,
      ),
    );
    if (owner !== '') line.owner = owner;
    return next;
  }

  /** @returns the attempts that must end @throws LostConnection */
  async write(connection: number, model: string, entries: readonly LineEntry[]): Promise<Line[]> {
    const args: (string | Buffer)[] = entries.map(({ line }) => line.logKey);
    for (const { line, n, frames } of entries) args.push(`${line.idStart}${n}`, frames);
    const refused = await this.insist(model, () =>
      this.connection.run(connection, (redis) => redis.penstockLog(entries.length, ...args)),
    );
    if (refused === undefined) return entries.map(({ line }) => line);
    return refused.flatMap((number) => entries[number - 1]?.line ?? []);
  }

  /** Looks up who owns the answers of a model now. @throws LostConnection; Error as Redis refuses it */
  async lookUpOwners(lines: readonly Line[]): Promise<void> {
    const keys = lines.map(({ recordKey }) => recordKey);
    const number = await this.connection.open();
    const owners = await this.connection.run(number, (redis) => redis.penstockOwners(keys.length, ...keys));
    for (const [index, line] of lines.entries()) line.owner = owners[index] || line.owner;
  }

  /** Copies entries to the stream of an owner that is an older gateway, which reads the log if it misses them. */
  async copyTo(owner: string, model: string, entries: readonly LineEntry[]): Promise<void> {
    const number = await this.connection.open();
    const fields = entries.flatMap(({ line, n, frames }) => [`${line.job.requestId}:${line.idStart}${n}`, frames]);
    const to = [redisKeys.ownersPrefix(model) + owner, 'NOMKSTREAM', '*', 's', this.#incarnation] as const;
    await this.connection.run(number, (redis) => redis.xadd(...to, ...fields));
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
