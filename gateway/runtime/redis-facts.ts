/** What a Redis reports in `INFO`. */
export interface RedisFacts {
  /** a new one after each start */
  readonly runId: string;
  /** such as `7.2.4`; a compatible service gives the version of Redis that it resembles */
  readonly version: string;
  readonly mode: 'standalone' | 'cluster' | 'sentinel';
  readonly isReadOnly: boolean;
  /** `noeviction` if the Redis does not report it */
  readonly evictionPolicy: string;
  readonly evictedKeys: number;
  /** it has reached its `maxmemory` and may evict nothing */
  readonly isFull: boolean;
  /** commands that were refused for lack of memory, since its start or since its statistics were reset */
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

/** What all nodes of a cluster report together: one that is full or cannot save hinders the requests of its models. */
export function combined(nodes: readonly RedisFacts[]): RedisFacts {
  const [first] = nodes;
  if (first === undefined) throw new Error('a cluster without nodes');
  const sum = (count: (one: RedisFacts) => number): number => nodes.reduce((total, one) => total + count(one), 0);
  return {
    ...first,
    runId: nodes
      .map(({ runId }) => runId)
      .toSorted()
      .join(),
    isReadOnly: nodes.some(({ isReadOnly }) => isReadOnly),
    evictionPolicy:
      nodes.find(({ evictionPolicy }) => evictionPolicy !== 'noeviction')?.evictionPolicy ?? first.evictionPolicy,
    evictedKeys: sum(({ evictedKeys }) => evictedKeys),
    isFull: nodes.some(({ isFull }) => isFull),
    refusedAsFull: sum(({ refusedAsFull }) => refusedAsFull),
    cannotSave: nodes.some(({ cannotSave }) => cannotSave),
  };
}
