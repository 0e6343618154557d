import type { Redis, RedisOptions } from 'ioredis';
import { RedisCluster } from './redis-cluster.ts';
import type { RedisPlace } from './redis-refusal.ts';

/** A connection to one server, or those to the nodes of a cluster, which sends each command to the node of its key. */
export type RedisClient = Redis | RedisCluster;

/** Whether it takes commands; a cluster, whether all its nodes do. */
export function isOpen(redis: RedisClient): boolean {
  return redis instanceof RedisCluster ? redis.isWhole : redis.status === 'ready';
}

/**
 * Follows the losses of a connection, after which another server may answer that lacks what was written last. The loss of one
 * node counts as the loss of the whole cluster.
 * @param onOpen called after each (re)connection from now on
 * @param onLost called after each loss
 */
export function followConnection(redis: RedisClient, onOpen: () => void, onLost: () => void = () => {}): void {
  const [opened, lost] = redis instanceof RedisCluster ? ['whole', 'lost'] : ['ready', 'close'];
  redis.on(opened, onOpen);
  redis.on(lost, onLost);
}

/** The servers with keys, one for each node of a cluster. */
export function primariesOf(redis: RedisClient): Redis[] {
  return redis instanceof RedisCluster ? redis.nodes('master') : [redis];
}

/** The time of the server that has this key, in ms. @throws also if another one has it by now */
export async function timeAt(redis: RedisClient, key: string): Promise<number> {
  // The first command leads to that server.
  const replies = (await redis.pipeline().exists(key).time().exec()) ?? [];
  for (const [error] of replies) if (error !== null) throw error;
  const time = replies[1]?.[1];
  const [seconds, micros] = Array.isArray(time) ? time.map(Number) : [];
  return (seconds ?? NaN) * 1_000 + (micros ?? NaN) / 1_000;
}

export function placeOf(redis: RedisClient): RedisPlace {
  const isCluster = redis instanceof RedisCluster;
  const options: RedisOptions = (isCluster ? redis.options.redisOptions : redis.options) ?? {};
  const [sentinel] = options.sentinels ?? [];
  const { host = 'localhost', port = 6379 } = isCluster ? redis.place : (sentinel ?? options);
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const what = isCluster
    ? 'Redis Cluster at'
    : sentinel === undefined
      ? 'Redis at'
      : `Redis ${options.name ?? ''} of the Sentinel at`;
  return { name: `${what} ${at}`, host, port, db: options.db ?? 0, hasTls: options.tls !== undefined };
}
