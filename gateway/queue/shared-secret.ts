import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';

const SECRET_BYTES = 32;

/**
 * The secret that all replicas of one Redis share: the first one makes it. It is lost with the data of that Redis, and another
 * is made: engines' caches begin anew then, and nothing else.
 */
export async function sharedSecret(redis: Redis): Promise<string> {
  const made = randomBytes(SECRET_BYTES).toString('base64url');
  await redis.set(redisKeys.cacheSaltSecret(), made, 'NX');
  return (await redis.get(redisKeys.cacheSaltSecret())) ?? made;
}
