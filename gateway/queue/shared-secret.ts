import { randomBytes } from 'node:crypto';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';

const SECRET_BYTES = 32;

/**
 * The secret that all replicas of one Redis share; the first replica makes it. If that Redis loses its data, a new
 * secret is made, and the engines' prompt caches start empty.
 */
export async function sharedSecret(redis: RedisClient): Promise<string> {
  const made = randomBytes(SECRET_BYTES).toString('base64url');
  await redis.set(redisKeys.cacheSaltSecret(), made, 'NX');
  return (await redis.get(redisKeys.cacheSaltSecret())) ?? made;
}
