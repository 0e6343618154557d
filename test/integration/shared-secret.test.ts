import { expect, test } from '@jest/globals';
import { redisKeys } from '#contract/redis-keys';
import { sharedSecret } from '../../gateway/queue/shared-secret.ts';
import { startRedis } from '../support/redis.ts';

test('N14: replicas that start together, and those that start later, have the same secret', async () => {
  await using redis = await startRedis();
  const secrets = await Promise.all(Array.from({ length: 8 }, () => sharedSecret(redis.server)));
  const later = await sharedSecret(redis.server);
  expect(new Set([...secrets, later]).size).toBe(1);
  expect(later).toMatch(/^[\w-]{43}$/);
  await redis.client.del(redisKeys.cacheSaltSecret());
  expect(await sharedSecret(redis.server)).not.toBe(later);
});
