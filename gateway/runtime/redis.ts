import { Redis } from 'ioredis';
import type { Log } from './log.ts';
import type { RedisTarget } from './redis-target.ts';

/** `patient` waits out an outage; `fail_fast` refuses at once while disconnected, for what a client waits on. */
export type RedisManner = 'patient' | 'fail_fast';

/**
 * One connection. Reconnects for ever, at most a second apart; an outage is logged once and its end once.
 * The password reaches no log.
 */
export function connectRedis(target: RedisTarget, manner: RedisManner, name: string, log: Log): Redis {
  const { url, ca, ...login } = target;
  const redis = new Redis(url, {
    ...login,
    ...(ca === undefined ? {} : { tls: { ca } }),
    connectionName: `penstock-${name}`,
    retryStrategy: (times: number) => Math.min(50 * times, 1_000),
    ...(manner === 'patient' ? { maxRetriesPerRequest: null } : { maxRetriesPerRequest: 1, enableOfflineQueue: false }),
  });
  let down = false;
  redis.on('error', (error: Error) => {
    if (!down) log.warn({ connection: name, reason: error.message }, 'redis connection lost');
    down = true;
  });
  redis.on('ready', () => {
    if (down) log.info({ connection: name }, 'redis connection is back');
    down = false;
  });
  return redis;
}

/**
 * Waits until the connection answers.
 * @throws Error in one sentence when Redis cannot be reached or refuses within `withinMs`
 */
export async function redisAnswers(redis: Redis, withinMs: number): Promise<void> {
  const target = `${redis.options.host ?? 'localhost'}:${String(redis.options.port ?? 6379)}`;
  let lastReason = 'no answer';
  const onError = (error: Error): void => {
    lastReason = error.message;
  };
  redis.on('error', onError);
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([
      redis.status === 'ready' ? redis.ping() : new Promise<void>((resolve) => redis.once('ready', resolve)),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`Redis at ${target} does not serve us: ${lastReason}`));
        }, withinMs);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    redis.off('error', onError);
  }
}
