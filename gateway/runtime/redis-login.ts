import { readFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import { redisTokens, type IdentityEnvironment } from './entra-token.ts';
import type { Log } from './log.ts';
import type { RedisClient } from './redis-client.ts';
import { RedisCluster } from './redis-cluster.ts';

/** How often a password file is read again, in ms. */
const FILE_EVERY_MS = 2_000;
/** After a failure the next try is this much later, in ms. */
const AGAIN_MS = 5_000;

/** Gives the password of this moment, and says when to ask again, in ms. @throws Error in one sentence, without it */
type Source = () => Promise<{ readonly password: string; readonly againMs: number }>;

/** A password file, which may be replaced. Its line end does not count. */
export function passwordFile(path: string): Source {
  return async () => ({ password: (await readFile(path, 'utf8')).replace(/\r?\n$/, ''), againMs: FILE_EVERY_MS });
}

/** Tokens of Entra ID. */
export function entraTokens(env: IdentityEnvironment): Source {
  let next: ReturnType<typeof redisTokens> | undefined;
  return async () => {
    next ??= redisTokens(env);
    const { token, renewAfterMs } = await (await next)();
    return { password: token, againMs: renewAfterMs };
  };
}

/**
 * A login whose password changes while connections are open. New connections log in with the new one. Open ones do so too,
 * because a server closes them when their token expires.
 */
export class RedisLogin {
  readonly #source: Source;
  readonly #username: string;
  readonly #clients = new Set<RedisClient>();
  #password: string;
  #isFollowed = false;
  #trouble = '';

  /** @param password that of the start, if it is known already */
  constructor(username: string, source: Source, password = '') {
    this.#username = username;
    this.#source = source;
    this.#password = password;
  }

  /** the present one */
  get password(): string {
    return this.#password;
  }

  /** Gets the first password, and follows its changes from then on. @throws Error in one sentence if there is none */
  async begin(log: Log): Promise<void> {
    if (this.#isFollowed) return;
    this.#isFollowed = true;
    const { password, againMs } = await this.#source();
    this.#password = password;
    this.#lookAgain(againMs, log);
  }

  /** A connection that was opened with the present password gets every later one. */
  follow(redis: RedisClient): void {
    this.#clients.add(redis);
    redis.once('end', () => this.#clients.delete(redis));
    if (redis instanceof RedisCluster)
      redis.on('+node', (node: Redis) => {
        node.options.password = this.#password;
      });
  }

  #lookAgain(afterMs: number, log: Log): void {
    const look = async (): Promise<number> => {
      try {
        const { password, againMs } = await this.#source();
        if (password !== this.#password) this.#change(password, log);
        this.#trouble = '';
        return againMs;
      } catch (cause) {
        const trouble = cause instanceof Error ? cause.message : String(cause);
        if (trouble !== this.#trouble) log.error({ trouble }, 'the password for redis could not be renewed');
        this.#trouble = trouble;
        return AGAIN_MS;
      }
    };
    setTimeout(() => void look().then((againMs) => this.#lookAgain(againMs, log)), afterMs).unref();
  }

  #change(password: string, log: Log): void {
    this.#password = password;
    log.info({ connections: this.#clients.size }, 'the password for redis was renewed');
    for (const client of this.#clients)
      for (const node of client instanceof RedisCluster ? client.nodes() : [client]) {
        node.options.password = password;
        // A subscriber takes no other command; it logs in when it connects again.
        if (node.status !== 'ready' || node.mode === 'subscriber') continue;
        node.auth(this.#username, password).catch((cause: unknown) => {
          const reason = cause instanceof Error ? cause.message : String(cause);
          log.warn({ connection: node.options.connectionName, reason }, 'redis refuses the renewed password');
        });
      }
  }
}
