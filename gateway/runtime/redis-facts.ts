/** What a Redis says of itself in `INFO`. */
export interface RedisFacts {
  /** another one after each start */
  readonly runId: string;
  /** such as `7.2.4`; of a service that speaks for Redis, the Redis that it is like */
  readonly version: string;
  readonly mode: 'standalone' | 'cluster' | 'sentinel';
  readonly isReadOnly: boolean;
  /** `noeviction` where it does not tell */
  readonly evictionPolicy: string;
  readonly evictedKeys: number;
  /** at its `maxmemory`, and nothing may be evicted */
  readonly isFull: boolean;
  /** commands that were refused for lack of memory, since its start or since somebody reset its statistics */
  readonly refusedAsFull: number;
  /** the append-only file or the last snapshot could not be written */
  readonly cannotSave: boolean;
}

/** @param page of `INFO`; a service that leaves fields out counts as well. Source: redis.io/docs/latest/commands/info */
export function factsOf(page: string): RedisFacts {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(page)?.[1] ?? '';
  const mode = field('redis_mode');
  const evictionPolicy = field('maxmemory_policy');
  const most = Number(field('maxmemory'));
  return {
    runId: field('run_id'),
    version: field('redis_version'),
    mode:
      mode === 'sentinel' ? mode : mode === 'cluster' || field('cluster_enabled') === '1' ? 'cluster' : 'standalone',
    isReadOnly: field('role') === 'slave' && field('slave_read_only') !== '0',
    evictionPolicy: evictionPolicy === '' ? 'noeviction' : evictionPolicy,
    evictedKeys: Number(field('evicted_keys')),
    isFull: evictionPolicy === 'noeviction' && most > 0 && Number(field('used_memory')) >= most,
    refusedAsFull: Number(/^errorstat_OOM:count=(\d+)/m.exec(page)?.[1] ?? 0),
    cannotSave: field('aof_last_write_status') === 'err' || field('rdb_last_bgsave_status') === 'err',
  };
}
